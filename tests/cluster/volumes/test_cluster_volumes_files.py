"""Files that appear all at once, belong to the right group, and stay inside their volume."""

import concurrent.futures
import contextlib
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxship.cluster.node.planning import Mounted, NotPossible
from boxship.cluster.node.volumes import ownership, trees
from boxship.cluster.node.volumes.emptying import disk_use
from boxship.cluster.node.volumes.hostpaths import check_host_path, host_path, our_logs_below, with_our_logs
from boxship.cluster.node.volumes.payloads import MissingKey, checked
from boxship.cluster.node.volumes.writing import File, write
from boxship.errors import Denied
from boxship.spec.mount import Mount
from boxship.volumes import mountpoints
from boxship.volumes.mountpoints import MountPoints


def shown(folder: Path) -> dict[str, bytes]:
    """What users see."""
    found = {}
    for name in os.listdir(folder):
        if not name.startswith(".."):
            path = folder / name
            files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
            found |= {str(one.relative_to(folder)): one.read_bytes() for one in files}
    return found


def deep(folder: Path, levels: int) -> None:
    """Deeper than a path may be long, as a container can make it."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("folder", dir_fd=here)
        inner = os.open("folder", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_no_tree_is_too_deep(tmp_path: Path) -> None:
    volume = tmp_path / "uid" / "volumes" / "v"
    volume.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (volume / "link").symlink_to(outside)
    deep(volume, 3000)
    pod = {"metadata": {"uid": "uid"}, "spec": {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]}}
    (use,) = disk_use(tmp_path, pod)
    assert use.inodes == 3003 and use.limit == 1 << 20
    ownership.own(volume, 3000)
    assert volume.stat().st_gid == (volume / "folder" / "folder").stat().st_gid == 3000
    trees.remove(volume)
    assert not volume.exists() and (outside / "kept").exists() and outside.stat().st_gid == 0


def test_files_lie_behind_one_link(tmp_path: Path) -> None:
    assert write(tmp_path, {"a": File(b"1"), "d/e": File(b"2", 0o600)})
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert os.readlink(tmp_path / "d") == "..data/d"
    behind = os.readlink(tmp_path / "..data")
    assert behind.startswith("..2")
    assert shown(tmp_path) == {"a": b"1", "d/e": b"2"}
    assert stat.S_IMODE((tmp_path / "d/e").stat().st_mode) == 0o600
    assert not write(tmp_path, {"a": File(b"1"), "d/e": File(b"2", 0o600)})
    assert os.readlink(tmp_path / "..data") == behind
    assert write(tmp_path, {"a": File(b"3")})
    assert shown(tmp_path) == {"a": b"3"}
    assert len([name for name in os.listdir(tmp_path) if name.startswith("..")]) == 2


files = st.dictionaries(
    st.sampled_from(["a", "b", "c/x", "c/y", "d"]),
    st.builds(File, st.binary(max_size=4), st.sampled_from([0o644, 0o400])),
)


@given(st.lists(files, min_size=1, max_size=4), st.integers(-1, 1))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_state_leads_to_any_other(tmp_path: Path, states: list[dict[str, File]], group: int) -> None:
    for wanted in states:
        write(tmp_path, wanted, group=group)
        assert shown(tmp_path) == {path: file.data for path, file in wanted.items()}
        assert not write(tmp_path, wanted, group=group)


def test_what_a_kill_left_over_goes(tmp_path: Path) -> None:
    write(tmp_path, {"a": File(b"1")})
    (tmp_path / "..2020_half").mkdir()
    (tmp_path / "..2020_half" / "x").write_text("x")
    (tmp_path / "..data_tmp").symlink_to("..2020_half")
    (tmp_path / "stale").symlink_to("..data/stale")
    write(tmp_path, {"a": File(b"1")})
    assert sorted(os.listdir(tmp_path))[1:] == ["..data", "a"]


def test_files_of_a_group(tmp_path: Path) -> None:
    write(tmp_path, {"a": File(b"1", 0o600, 1000)}, group=2000)
    status = (tmp_path / "a").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 2000, 0o640)
    assert tmp_path.stat().st_gid == 2000
    assert tmp_path.stat().st_mode & stat.S_ISGID


def test_files_of_a_pod_with_users_of_its_own(tmp_path: Path) -> None:
    """All of it belongs to somebody whom the pod knows; another range than before is a change."""
    wanted = {"d/a": File(b"1", 0o600, 1000), "b": File(b"2", 0o400)}
    for first in (655_360, 720_896):
        assert write(tmp_path, wanted, group=2000, first=first)
        assert not write(tmp_path, wanted, group=2000, first=first)
        for place in (tmp_path, *tmp_path.rglob("*")):
            status = place.lstat()
            user = 1000 if place.name == "a" else 0
            assert (status.st_uid, status.st_gid) == (first + user, first + 2000), place
    assert write(tmp_path, wanted, first=655_360)
    assert (tmp_path / "b").stat().st_gid == 655_360


def test_memory_of_a_pod_with_users_of_its_own(private_mounts: None, tmp_path: Path) -> None:
    mounts, place, part = MountPoints(), tmp_path / "memory", tmp_path / "part"
    mounts.memory(place, mode=0o777, owner=655_360)
    try:
        assert (place.stat().st_uid, place.stat().st_gid) == (655_360, 655_360)
        mounts.pin(place, "x/y", part, owner=655_360)
        assert (part.stat().st_uid, part.stat().st_gid) == (655_360, 655_360)
        mounts.memory(place, mode=0o777, owner=720_896)  # after a crash it may have another range
        assert place.stat().st_uid == 720_896
    finally:
        mounts.unmount(part)
        mounts.unmount(place)


def test_the_first_pods_of_a_node_share_one_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one over it would hide what the first pod was given."""
    both = threading.Barrier(2)
    made: list[Mount] = []

    def mount(one: Mount) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)  # until another one is about to mount it, too
        made.append(one)

    monkeypatch.setattr(mountpoints, "mount", mount)
    monkeypatch.setattr(mountpoints.os.path, "ismount", lambda _: bool(made))
    mounts = MountPoints()
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(mounts.memory, [tmp_path / "memory"] * 4))
    assert len(made) == 1


@pytest.mark.parametrize("path", ["/a", "../a", "a/../b", "..a", "a//b", ""])
def test_paths_that_lead_out_are_refused(path: str) -> None:
    with pytest.raises(MissingKey):
        checked({path: File(b"")})


def test_a_tree_is_given_to_a_group_and_nothing_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o600)
    root = tmp_path / "volume"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "file").write_text("y")
    (root / "deep" / "link").symlink_to(outside)
    os.mkfifo(root / "pipe")
    ownership.own(root, 3000)
    assert (outside.stat().st_gid, stat.S_IMODE(outside.stat().st_mode)) == (0, 0o600)
    for path in (root, root / "deep", root / "deep/file", root / "pipe"):
        assert path.stat().st_gid == 3000
    assert stat.S_IMODE((root / "deep/file").stat().st_mode) & 0o660 == 0o660
    assert stat.S_IMODE((root / "deep").stat().st_mode) & 0o2770 == 0o2770
    (root / "deep/file").chmod(0o600)
    ownership.own(root, 3000, policy="OnRootMismatch")
    assert stat.S_IMODE((root / "deep/file").stat().st_mode) == 0o600
    ownership.own(root, 3001, policy="OnRootMismatch")
    assert (root / "deep/file").stat().st_gid == 3001


def test_log_shippers_find_this_nodes_logs(tmp_path: Path) -> None:
    for asked, path in (
        ("/var/log/pods", "logs"),
        ("/var/log/pods/a_b_c/d/", "logs/a_b_c/d"),
        ("/var/log/containers", "log-links"),
    ):
        assert with_our_logs({"path": asked, "type": ""}, tmp_path) == {"path": str(tmp_path / path), "type": ""}
    for other in ("/var/log/pods2", "/var/lib"):
        assert with_our_logs({"path": other}, tmp_path) == {"path": other} and not our_logs_below(other, tmp_path)
    below = {"pods": f"{tmp_path}/logs", "containers": f"{tmp_path}/log-links"}
    assert our_logs_below("/var/log/", tmp_path) == below
    assert our_logs_below("/var", tmp_path) == {f"log/{name}": path for name, path in below.items()}
    assert (tmp_path / "logs").is_dir()
    assert host_path("v", {"path": "/var/log/pods"}, tmp_path) == Mounted("folder", f"{tmp_path}/logs", read_only=True)
    assert not host_path("v", {"path": str(tmp_path / "other")}, tmp_path).read_only


def test_host_paths(tmp_path: Path) -> None:
    assert check_host_path("v", {"path": str(tmp_path / "made")}).kind == "folder"
    assert check_host_path("v", {"path": str(tmp_path / "d"), "type": "DirectoryOrCreate"}).kind == "folder"
    assert check_host_path("v", {"path": str(tmp_path / "f"), "type": "FileOrCreate"}).kind == "file"
    assert check_host_path("v", {"path": "/dev/null", "type": "CharDevice"}).kind == "file"
    for path, kind, why in (
        ("none", "Directory", "is not a directory"),
        ("none", "File", "is not a file"),
        ("f", "Directory", "is not a directory"),
        ("d", "FileOrCreate", "is not a file"),
        ("d", "Socket", "is not a socket file"),
        ("f", "BlockDevice", "is not a block device"),
    ):
        with pytest.raises(NotPossible, match=f"hostPath type check failed: .*{why}"):
            check_host_path("v", {"path": str(tmp_path / path), "type": kind})
    assert not (tmp_path / "none").exists()


@pytest.fixture
def kernel(tmp_path: Path) -> "Kernel":
    return Kernel(tmp_path)


class Kernel(MountPoints):
    def __init__(self, root: Path) -> None:
        super().__init__()
        self.volume, self.place = root / "volume", root / "places" / "0"
        self.volume.mkdir()


def test_parts_are_bound_inside_their_volume(kernel: Kernel, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (kernel.volume / "out").symlink_to(secret)
    (kernel.volume / "up").symlink_to("../secret")
    (kernel.volume / "file").write_text("text")
    try:
        kernel.pin(kernel.volume, "a/b", kernel.place)
        (kernel.place / "x").write_text("x")
        assert (kernel.volume / "a/b/x").read_text() == "x"
        kernel.pin(kernel.volume, "file", kernel.place)  # what was there goes
        assert kernel.place.read_text() == "text"
        for part in ("out", "up", "out/deeper"):
            with pytest.raises(Denied):
                kernel.pin(kernel.volume, part, kernel.place, read_only=True)
        with pytest.raises(Denied):
            kernel.pin(kernel.volume, "out/deeper", kernel.place)
        with pytest.raises(Denied):
            kernel.pin(kernel.volume, "file/under", kernel.place)
        (kernel.volume / "top").symlink_to("../../../..")
        (kernel.volume / "etc").mkdir()
        (kernel.volume / "absolute").symlink_to("/etc")  # the machine's, not the volume's
        for part in ("out", "up", "top", "absolute", "top/etc"):
            with pytest.raises(Denied, match="not within volume path"):
                kernel.pin(kernel.volume, part, kernel.place)
        (kernel.volume / "home").symlink_to(kernel.volume / "a")
        (kernel.volume / "near").symlink_to("a/../a/b")
        for part in ("home/b", "near"):
            kernel.pin(kernel.volume, part, kernel.place)
            assert (kernel.place / "x").read_text() == "x"
        assert not os.listdir(secret)
        assert kernel.read(kernel.volume, "file", 2) == b"te"
        assert kernel.read(kernel.volume, "out", 2) is None
        assert kernel.read(kernel.volume, "none", 2) is None
    finally:
        kernel.unmount(kernel.place)
    assert not os.path.ismount(kernel.place)


def test_memory_is_limited_and_made_once(kernel: Kernel) -> None:
    try:
        kernel.memory(kernel.place, size=1 << 20, mode=0o777)
        (kernel.place / "x").write_text("x")
        kernel.memory(kernel.place, size=1 << 20, mode=0o777)
        assert (kernel.place / "x").exists()
        found = os.statvfs(kernel.place)
        assert found.f_blocks * found.f_frsize == 1 << 20
    finally:
        kernel.unmount(kernel.place)
    assert not os.path.ismount(kernel.place)


def test_a_pod_with_users_of_its_own_names_no_others() -> None:
    """An id beyond its range would be the next pod's."""
    fine: dict[str, Any] = {"runAsUser": 65_535, "fsGroup": 0, "supplementalGroups": [1]}
    assert not ownership.strangers({"securityContext": fine, "containers": [{"name": "a"}]})
    wrong: dict[str, Any] = {
        "securityContext": {"fsGroup": 65_536, "supplementalGroups": [1, 70_000]},
        "initContainers": [{"securityContext": {"runAsUser": 100_000}}],
    }
    assert ownership.strangers(wrong) == ["fsGroup 65536", "supplementalGroups 70000", "runAsUser 100000"]
