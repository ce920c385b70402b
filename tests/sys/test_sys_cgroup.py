"""Cgroups: the three layouts as fake trees, and the machine's own hierarchy for real."""

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxship.errors import Internal, NotFound
from boxship.sys import cgroup
from boxship.sys.cgroup import Version, Warmth
from boxship.sys.pidfd import is_alive, start_time
from boxship.sys.spawn import SAFE_ENVIRONMENT, reap, spawn


def fake_v1(root: Path, *, unified: bool = False) -> Path:
    for name in ("memory", "cpu,cpuacct", "pids", "freezer", "systemd"):
        (root / name).mkdir(parents=True)
        (root / name / "cgroup.procs").touch()
    (root / "memory/memory.memsw.limit_in_bytes").touch()
    (root / "cpu").symlink_to("cpu,cpuacct")
    (root / "empty").mkdir()
    if unified:
        (root / "unified").mkdir()
        (root / "unified/cgroup.controllers").write_text("hugetlb\n")
        (root / "unified/cgroup.procs").touch()
    return root


def fake_v2(root: Path) -> Path:
    (root / "system").mkdir(parents=True)
    (root / "system/io.weight").touch()
    (root / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (root / "cgroup.procs").touch()
    return root


def test_version_1(tmp_path: Path) -> None:
    layout = cgroup.detect(str(fake_v1(tmp_path)))
    assert layout.version is Version.V1
    assert sorted(layout.controllers) == ["cpu", "cpuacct", "freezer", "memory", "pids", "systemd"]
    assert layout.controllers["cpu"] == layout.controllers["cpuacct"] == f"{tmp_path}/cpu,cpuacct"
    assert len(cgroup.folders(layout, "/a/b")) == 5
    assert cgroup.file_of(layout, "memory", "/a/b", "x") == f"{tmp_path}/memory/a/b/x"
    assert layout.swap
    assert not layout.weight
    with pytest.raises(NotFound, match="controller io"):
        cgroup.file_of(layout, "io", "/a", "x")


def test_weights_of_block_devices_on_version_1(tmp_path: Path) -> None:
    blkio = fake_v1(tmp_path) / "blkio"
    blkio.mkdir()
    for name in ("cgroup.procs", "blkio.bfq.io_serviced", "blkio.bfq.weight"):
        (blkio / name).touch()
    assert not cgroup.detect(str(tmp_path)).weight, "the runtimes write to blkio.weight alone"
    (blkio / "blkio.weight").touch()
    assert cgroup.detect(str(tmp_path)).weight


def test_hybrid(tmp_path: Path) -> None:
    layout = cgroup.detect(str(fake_v1(tmp_path, unified=True)))
    assert layout.version is Version.HYBRID
    assert "hugetlb" not in layout.controllers
    assert f"{tmp_path}/unified/a" in cgroup.folders(layout, "a")
    assert not layout.is_v2


def test_version_2(tmp_path: Path) -> None:
    layout = cgroup.detect(str(fake_v2(tmp_path)))
    assert layout.version is Version.V2
    assert layout.is_v2
    assert cgroup.folders(layout, "/a/b") == [f"{tmp_path}/a/b"]
    assert cgroup.file_of(layout, "memory", "/a", "memory.max") == f"{tmp_path}/a/memory.max"
    assert cgroup.file_of(layout, "cgroup", "/a", "cgroup.freeze") == f"{tmp_path}/a/cgroup.freeze"
    assert layout.weight


def test_version_2_has_weights_before_any_cgroup_has(tmp_path: Path) -> None:
    (fake_v2(tmp_path) / "system/io.weight").unlink()
    assert not cgroup.detect(str(tmp_path)).weight
    (tmp_path / "io.cost.qos").touch()
    assert cgroup.detect(str(tmp_path)).weight


def test_no_cgroups(tmp_path: Path) -> None:
    with pytest.raises(Internal, match="no cgroup controllers"):
        cgroup.detect(str(tmp_path))
    with pytest.raises(Internal, match="No such file"):
        cgroup.detect(str(tmp_path / "missing"))


def test_version_2_files_are_written(tmp_path: Path) -> None:
    layout = cgroup.detect(str(fake_v2(tmp_path)))
    box = tmp_path / "box"
    box.mkdir()
    for name in ("cgroup.freeze", "cgroup.kill", "cgroup.events", "cgroup.procs", "memory.max"):
        (box / name).touch()
    (box / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    cgroup.freeze(layout, "/box")
    assert (box / "cgroup.freeze").read_text() == "1"
    cgroup.thaw(layout, "/box")
    assert (box / "cgroup.freeze").read_text() == "0"
    cgroup.write(layout, "memory", "/box", "memory.max", "max")
    assert cgroup.read(layout, "memory", "/box", "memory.max") == "max"
    assert cgroup.read(layout, "memory", "/box", "no-such-file") == ""
    (box / "inner").mkdir()
    (box / "cgroup.procs").write_text("12\n0\n")
    (box / "inner/cgroup.procs").write_text("7\n")
    assert cgroup.pids(layout, "/box") == [7, 12]


@pytest.fixture
def path() -> Iterator[str]:
    layout = cgroup.detect()
    path = f"/boxship-test{secrets.token_hex(4)}"
    for folder in cgroup.folders(layout, path):
        os.makedirs(f"{folder}/inner")
        for name in ("cpuset.cpus", "cpuset.mems") if os.path.exists(f"{folder}/../cpuset.cpus") else ():
            for each in ("", "/inner"):
                Path(f"{folder}{each}/{name}").write_text(Path(f"{folder}/../{name}").read_text())
    yield path
    cgroup.kill(layout, path)
    cgroup.remove(layout, path)
    cgroup.remove(layout, path)
    assert not cgroup.exists(layout, path)


def join(path: str, *command: str) -> tuple[int, int]:
    """A process in the cgroup. It runs the command only once it is in there: its limits hold from the first moment."""
    layout = cgroup.detect()
    held, let_go = os.pipe()
    pid = spawn(["sh", "-c", 'read go && exec "$@"', "sh", *command], env=SAFE_ENVIRONMENT, files={0: held})
    os.close(held)
    with open(let_go, "wb") as gate:
        for folder in cgroup.folders(layout, path):
            Path(folder, "cgroup.procs").write_text(str(pid))
        assert cgroup.pids(layout, path) == [pid]
        gate.write(b"go\n")
    return pid, start_time(pid)


def test_freeze_thaw_and_kill(path: str) -> None:
    layout = cgroup.detect()
    pid, started = join(f"{path}/inner", "sleep", "60")
    assert cgroup.pids(layout, path) == [pid]
    cgroup.freeze(layout, path)
    assert cgroup.is_frozen(layout, path)
    cgroup.thaw(layout, path)
    assert not cgroup.is_frozen(layout, path)
    cgroup.freeze(layout, path)
    cgroup.kill(layout, path)
    assert not is_alive(pid, started)
    reap(pid)
    cgroup.kill(layout, path)


def test_kill_of_processes_that_fork_all_the_time(path: str) -> None:
    layout = cgroup.detect()
    if "pids" not in layout.controllers:
        pytest.skip("the cgroup controller pids is missing, and nothing else would hold these processes back")
    cgroup.write(layout, "pids", path, "pids.max", "60")
    # Each process has children, to the tenth generation; more than 60 at once cannot be.
    again = "f() { sleep 0.005; test $1 = 0 || { f $(($1 - 1)) & f $(($1 - 1)) & } }"
    pid, _ = join(path, "sh", "-c", f"{again}; for i in $(seq 1000); do f 10; done 2>/dev/null")
    end = time.monotonic() + 20
    while len(cgroup.pids(layout, path)) < 10:
        assert time.monotonic() < end
        time.sleep(0.005)
    cgroup.kill(layout, path)
    reap(pid)
    assert not [each for each in cgroup.pids(layout, path) if is_alive(each, start_time(each))]


def test_a_missing_cgroup_is_fine() -> None:
    layout = cgroup.detect()
    gone = f"/boxship-test{secrets.token_hex(4)}"
    cgroup.kill(layout, gone)
    cgroup.remove(layout, gone)
    cgroup.thaw(layout, gone)
    assert cgroup.pids(layout, gone) == []
    assert not cgroup.exists(layout, gone)
    with pytest.raises(Internal, match="cannot freeze"):
        cgroup.freeze(layout, gone)


def test_what_crun_writes_beside_a_missing_hierarchy_is_removed(tmp_path: Path) -> None:
    root = fake_v1(tmp_path)
    plain = root / "unified/boxship-a/box"
    plain.mkdir(parents=True)
    (plain / "cgroup.procs").write_text("1")
    layout = cgroup.detect(str(root))
    assert layout.version is Version.V1
    cgroup.remove(layout, "/boxship-a/box")
    assert list((root / "unified").iterdir()) == []


def test_warmth_ends_by_itself(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = cgroup.detect()
    monkeypatch.setattr(Warmth, "HOLD_SECONDS", 0.05)
    before = Path("/proc/self/cgroup").read_text()
    warmth = Warmth(layout)
    for _ in range(3):
        warmth.seek()
    end = time.monotonic() + 20
    while warmth._running:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert Path("/proc/self/cgroup").read_text() == before
