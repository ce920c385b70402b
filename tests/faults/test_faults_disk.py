"""A full disk: everything that needs space is refused clearly, the daemon lives, and goes on when there is space."""

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import invariants
import pytest
from faults_client import Client, Refused
from faults_instance import Instance, Launcher, alive, eventually, finish, small_disk
from test_faults_chosen import archive

SIZE = "48m"
DEADLINE = 20.0
PIECE = 64 * 1024


class Disk:
    """The small disk, which can be filled and freed."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Not a block is free afterwards."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (PIECE, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"\1" * size):
                        pass

    @contextlib.contextmanager
    def pinhole(self, size: int) -> Iterator[None]:
        """A little room, as it comes and goes on a machine in trouble."""
        with self._ballast.open("r+b") as file:
            file.truncate(max(0, self._ballast.stat().st_size - size))
        yield

    def free(self) -> None:
        self._ballast.unlink()


NO_RESERVE = {"reserve.LOG_BYTES": 0, "reserve.FREE_BYTES": 0}  # as when it is used up


@pytest.fixture
def full(launcher: Launcher) -> Iterator[tuple[Instance, Disk]]:
    """An instance on a small disk with a running and a created container; the test fills the disk. The state file has
    no room of its own left."""
    with on_small_disk(launcher, **NO_RESERVE) as found:
        yield found


@pytest.fixture
def reserved(launcher: Launcher) -> Iterator[tuple[Instance, Disk]]:
    """The same, with the room that the state file keeps."""
    with on_small_disk(launcher) as found:
        yield found


@contextlib.contextmanager
def on_small_disk(launcher: Launcher, **settings: float) -> Iterator[tuple[Instance, Disk]]:
    with tempfile.TemporaryDirectory(prefix="bxd", ignore_cleanup_errors=True) as folder:
        box = Instance(launcher, Path(folder), **settings)
        with small_disk(box, SIZE) as data:
            disk = Disk(data)
            try:
                box.start()
                box.load_busybox()
                box.client.run("runs", ["sleep", "1000"])
                box.client.create("made", ["sleep", "1000"], Volumes={"/x": {}})
                yield box, disk
            finally:
                with contextlib.suppress(FileNotFoundError):
                    disk.free()
                finish(box)


REQUESTS: dict[str, Callable[[Client], object]] = {
    "create": lambda client: client.create("more", ["true"], Volumes={"/x": {}}),
    "load": lambda client: client.call("POST", "/images/load", archive("loaded:1")),
    "import": lambda client: client.call("POST", "/images/create", b"\0" * (4 << 20), fromSrc="-", repo="big"),
    "volume": lambda client: client.post("/volumes/create", {"Name": "more"}),
    "network": lambda client: client.post("/networks/create", {"Name": "more"}),
    "start": lambda client: client.post("/containers/made/start"),
    "exec": lambda client: client.exec("runs", ["true"]),
    "stop": lambda client: client.post("/containers/runs/stop", t=1),
    "remove": lambda client: client.remove("made"),
    "commit": lambda client: client.post("/commit", {}, container="runs", repo="more"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_full_disk(full: tuple[Instance, Disk], name: str) -> None:
    box, disk = full
    disk.fill()
    refused = ""
    for _ in range(40):  # the journal has some room of its own: fill that too
        try:
            answer = REQUESTS[name](box.client)
        except Refused as error:
            refused = error.message
            assert error.status >= 400
            break
        last = answer[-1] if isinstance(answer, list) else answer
        if isinstance(last, dict) and "error" in last:  # told within a stream
            refused = last["error"]
            break
        if name in ("stop", "remove", "start"):
            break  # done, once and for all
        disk.fill()
    assert refused, "there was always room"
    if refused:
        told = refused.lower()
        assert "no space" in told or "full" in told or "disk" in told, refused
    assert box.alive()
    assert box.client.get("/containers/json", all=1)
    disk.free()
    invariants.check(box)
    with contextlib.suppress(Refused):
        box.client.post("/containers/runs/start")
    if name != "remove" or refused:
        with contextlib.suppress(Refused):
            box.client.post("/containers/made/start")
        assert box.client.state("made")["Running"]
    assert box.client.exec("runs", ["echo", "hi"]) == (0, "hi\n")
    box.client.call("POST", "/images/load", archive("after:1"))
    invariants.check(box)
    box.restart()
    invariants.check(box)
    assert box.client.state("runs")["Running"]


def test_an_end_on_a_full_disk_is_recorded_later(full: tuple[Instance, Disk]) -> None:
    box, disk = full
    box.client.run("brief", ["sleep", "1000"], HostConfig={"AutoRemove": True})
    box.client.run("back", ["sleep", "1000"], HostConfig={"RestartPolicy": {"Name": "always"}})
    pids = [box.client.state(name)["Pid"] for name in ("runs", "brief", "back")]
    _exhaust(box, disk)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids), DEADLINE, "they end")
    eventually(lambda: "no space" in box.log_end().lower(), DEADLINE, "the daemon could not record the ends")
    assert box.client.answers()
    disk.free()
    eventually(lambda: box.client.state("runs")["Status"] == "exited", DEADLINE, "the end is recorded")
    assert box.client.state("runs")["ExitCode"] == 137
    eventually(lambda: box.client.state("back")["Pid"] not in (0, pids[2]), DEADLINE, "the policy is followed")
    names = lambda: [row["Names"][0] for row in box.client.get("/containers/json", all=1)]  # noqa: E731
    eventually(lambda: "/brief" not in names(), DEADLINE, "it is removed")
    invariants.check(box)


def _exhaust(box: Instance, disk: Disk) -> None:
    """Fill the disk, and what the journal had in reserve."""
    disk.fill()
    for number in range(200):
        try:
            box.client.post("/containers/made/rename", name=f"name{number % 2}")
            box.client.post(f"/containers/name{number % 2}/rename", name="made")
        except Refused:
            with contextlib.suppress(Refused):
                box.client.post(f"/containers/name{number % 2}/rename", name="made")
            return
        disk.fill()


def test_kill_and_restart_on_a_full_disk(full: tuple[Instance, Disk]) -> None:
    """It starts as far as it can; what it can't is a clear error, and with space everything is found again."""
    box, disk = full
    pid = box.client.state("runs")["Pid"]
    _exhaust(box, disk)
    box.kill()
    disk.fill()
    box.start(answers=False)
    eventually(lambda: not box.alive() or box.client.answers(), DEADLINE, "it answers or ends")
    if not box.alive():
        said = box.log_end().splitlines()[-1].lower()
        assert "no space" in said or "full" in said, box.log_end()
    assert alive(pid)
    disk.free()
    if not box.alive():
        box.start()
    assert box.client.state("runs")["Pid"] == pid
    invariants.check(box)


def test_restarts_and_execs_outlast_a_full_disk(full: tuple[Instance, Disk]) -> None:
    box, disk = full
    loops = ["sh", "-c", "echo $$; exit 1"]
    box.client.run("loops", loops, HostConfig={"RestartPolicy": {"Name": "always"}})
    made = box.client.post("/containers/runs/exec", {"Cmd": ["sleep", "1000"]})
    box.client.post(f"/exec/{made['Id']}/start", {"Detach": True})
    _exhaust(box, disk)
    pid = box.client.get(f"/exec/{made['Id']}/json")["Pid"]
    eventually(lambda: "cannot restart" in box.log_end(), DEADLINE, "a restart fails for want of space")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid), DEADLINE, "the exec ends")
    count = box.log_end().count("cannot")
    eventually(lambda: box.log_end().count("cannot") > count, DEADLINE, "the daemon tries again")
    assert box.client.answers()
    disk.free()
    before = box.client.inspect("loops")["RestartCount"]
    eventually(lambda: box.client.inspect("loops")["RestartCount"] > before, DEADLINE, "it is restarted again")
    eventually(lambda: not box.client.get(f"/exec/{made['Id']}/json")["Running"], DEADLINE, "the exec's end is known")
    assert box.client.get(f"/exec/{made['Id']}/json")["ExitCode"] == 137
    box.client.remove("loops")
    invariants.check(box)


def test_what_could_not_start_can_be_removed(full: tuple[Instance, Disk]) -> None:
    """A start that could not even be taken back in the records is neither a start nor an obstacle."""
    box, disk = full
    for number in range(60):
        box.client.create(f"c{number}", ["sleep", "1000"])
    _exhaust(box, disk)
    names = [f"c{number}" for number in range(60)]
    with disk.pinhole(8 * 4096):
        for name in names:
            with contextlib.suppress(Refused):
                box.client.post(f"/containers/{name}/start")
    disk.free()
    for name in names:
        box.client.remove(name)
    invariants.check(box)


def test_a_full_disk_refuses_no_stop_and_no_removal(reserved: tuple[Instance, Disk]) -> None:
    box, disk = reserved
    for number in range(20):
        box.client.run(f"c{number}", ["sleep", "1000"])
    box.client.post("/volumes/create", {"Name": "gone"})
    box.client.call("POST", "/images/load", archive("gone:1"))
    disk.fill()
    with pytest.raises(Refused):
        box.client.call("POST", "/images/create", b"\0" * (4 << 20), fromSrc="-", repo="big")
    disk.fill()
    for number in range(20):
        box.client.post(f"/containers/c{number}/stop", t=0)
        disk.fill()
    for number in range(20):
        box.client.remove(f"c{number}")
        disk.fill()
    box.client.delete("/volumes/gone")
    box.client.delete("/images/gone:1")
    box.client.remove("made")
    disk.fill()
    box.kill()
    disk.fill()
    box.start(answers=False)
    eventually(lambda: not box.alive() or box.client.answers(), DEADLINE, "it answers or ends")
    disk.free()
    if not box.alive():
        box.start()
    assert {row["Names"][0] for row in box.client.get("/containers/json", all=1)} == {"/runs"}
    invariants.check(box)
