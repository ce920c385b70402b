"""Parts that fail: conmon is killed, the runtime refuses or hangs, the state file is damaged, the clock jumps."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import invariants
import pytest
from faults_client import Refused
from faults_instance import Instance, Launcher, alive, eventually, instance

from boxship.engine import restarts
from boxship.engine.health import HealthMonitor
from boxship.engine.lives import Lives
from boxship.engine.model import Container, Phase, Process, State
from boxship.spec.container import SECOND, ContainerSpec, HealthCheck

DEADLINE = 20.0
HANG_SECONDS = 1.0  # the deadlines that are 60 and 30 s in production


def _monitor(box: Instance, name: str) -> int:
    identifier = box.client.inspect(name)["Id"]
    return next(pid for pid, container, run in invariants.monitors(box) if container == identifier and not run)


def test_conmon_killed(box: Instance) -> None:
    box.client.run("lost", ["sh", "-c", "sleep 1000 & sleep 1000"])
    pid = box.client.state("lost")["Pid"]
    os.kill(_monitor(box, "lost"), signal.SIGKILL)
    assert box.client.wait("lost") == 137
    state = box.client.state("lost")
    assert state["Status"] == "exited" and "conmon" in state["Error"], state
    assert not alive(pid)
    invariants.check(box)
    box.client.post("/containers/lost/start")
    assert box.client.state("lost")["Error"] == ""
    invariants.check(box)


def test_conmon_killed_and_restart_policy(box: Instance) -> None:
    box.client.run("back", ["sleep", "1000"], HostConfig={"RestartPolicy": {"Name": "on-failure"}})
    pid = box.client.state("back")["Pid"]
    os.kill(_monitor(box, "back"), signal.SIGKILL)
    eventually(lambda: box.client.state("back")["Pid"] not in (0, pid), DEADLINE, "it runs again")
    assert box.client.inspect("back")["RestartCount"] == 1
    invariants.check(box)


def test_conmon_killed_while_the_daemon_is_dead(box: Instance) -> None:
    box.client.run("lost", ["sleep", "1000"])
    box.client.run("other", ["sleep", "1000"])
    pid, monitor = box.client.state("lost")["Pid"], _monitor(box, "lost")
    box.kill()
    os.kill(monitor, signal.SIGKILL)
    box.start()
    state = box.client.state("lost")
    assert (state["Status"], state["ExitCode"]) == ("exited", 137) and "conmon" in state["Error"], state
    assert not alive(pid)
    assert box.client.state("other")["Running"]
    invariants.check(box)


def test_conmon_of_an_exec_killed(box: Instance) -> None:
    box.client.run("main", ["sleep", "1000"])
    made = box.client.post("/containers/main/exec", {"Cmd": ["sleep", "777"]})
    box.client.post(f"/exec/{made['Id']}/start", {"Detach": True})
    monitor = next(pid for pid, _, run in invariants.monitors(box) if run)
    os.kill(monitor, signal.SIGKILL)
    state = eventually(lambda: _ended(box, made["Id"]), DEADLINE, "the exec ends")
    assert state["ExitCode"] == 137
    assert box.client.state("main")["Running"]
    invariants.check(box)


def _ended(box: Instance, run: str) -> dict[str, object] | None:
    state = dict(box.client.get(f"/exec/{run}/json"))
    return None if state["Running"] else state


def _script(home: Path, text: str) -> str:
    path = home / "runtime.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


REAL = '[ -e "$0.broken" ] || exec crun "$@"\n'


def test_runtime_fails(launcher: Launcher, tmp_path: Path) -> None:
    path = _script(tmp_path, 'echo "the fake runtime is out of order" >&2; exit 1')
    with instance(launcher, "--add-runtime", f"fake={path}") as box:
        with pytest.raises(Refused, match="out of order") as failure:
            box.client.run("broken", ["true"], HostConfig={"Runtime": "fake"})
        assert failure.value.status >= 400
        state = box.client.state("broken")
        assert state["Status"] == "created" and "out of order" in state["Error"] and state["ExitCode"] != 0, state
        invariants.check(box)
        with pytest.raises(Refused, match="unknown or invalid runtime name: nothing"):
            box.client.create("unknown", ["true"], HostConfig={"Runtime": "nothing"})
        box.restart()
        invariants.check(box)
        box.client.remove("broken")
        invariants.check(box)


def test_runtime_fails_later(launcher: Launcher, tmp_path: Path) -> None:
    """A runtime that breaks while its container runs: exec says so, the end is still known, removal works."""
    path = _script(tmp_path, REAL + 'echo "worn out" >&2; exit 1')
    with instance(launcher, "--add-runtime", f"fake={path}") as box:
        box.client.run("works", ["sleep", "1000"], HostConfig={"Runtime": "fake"})
        Path(f"{path}.broken").touch()
        code, output = box.client.exec("works", ["true"])
        assert code != 0 and "worn out" in output, (code, output)
        invariants.check(box)
        box.restart()
        assert box.client.state("works")["Running"]
        box.client.post("/containers/works/kill")
        assert box.client.state("works")["ExitCode"] == 137
        with pytest.raises(Refused, match="worn out"):
            box.client.post("/containers/works/start")
        invariants.check(box)
        Path(f"{path}.broken").unlink()
        box.client.post("/containers/works/start")
        invariants.check(box)
        Path(f"{path}.broken").touch()
        box.client.remove("works")
        invariants.check(box)


def test_runtime_hangs(launcher: Launcher, tmp_path: Path) -> None:
    path = _script(tmp_path, REAL + "exec sleep 987654")
    settings = {"launching__CREATE_SECONDS": HANG_SECONDS, "launching__EXEC_SECONDS": HANG_SECONDS}
    settings |= {"clearing__DELETE_SECONDS": HANG_SECONDS}
    with instance(launcher, "--add-runtime", f"fake={path}", **settings) as box:
        box.client.run("works", ["sleep", "1000"], HostConfig={"Runtime": "fake"})
        Path(f"{path}.broken").touch()
        with pytest.raises(Refused, match="did not answer within 1 s"):
            box.client.run("hangs", ["true"], HostConfig={"Runtime": "fake"})
        assert "did not answer" in box.client.state("hangs")["Error"]
        code, output = box.client.exec("works", ["true"])
        assert code != 0 and "did not answer" in output, (code, output)
        invariants.check(box)
        box.client.remove("hangs")
        begun = time.monotonic()
        box.client.remove("works")
        assert time.monotonic() - begun < 10
        invariants.check(box)
        assert not _naming("987654"), "a hanging runtime is left"


def test_runtime_hangs_and_the_daemon_is_killed(launcher: Launcher, tmp_path: Path) -> None:
    path = _script(tmp_path, REAL + "exec sleep 987653")
    with instance(launcher, "--add-runtime", f"fake={path}") as box:
        box.client.create("hangs", ["true"], HostConfig={"Runtime": "fake"})
        Path(f"{path}.broken").touch()
        starting = subprocess.Popen(
            [sys.executable, "-c", _STARTER, str(box.socket), "hangs"], stdout=subprocess.DEVNULL
        )
        eventually(lambda: _naming("987653"), DEADLINE, "the runtime hangs")
        box.restart()
        starting.wait(DEADLINE)
        eventually(lambda: not _naming("987653"), DEADLINE, "the hanging runtime is ended")
        assert box.client.state("hangs")["Status"] == "created"
        invariants.check(box)


_STARTER = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(f"POST /v1.43/containers/{sys.argv[2]}/start HTTP/1.1\\r\\nHost: d\\r\\n\\r\\n".encode())
connection.recv(100)
"""


def _naming(text: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                if words[:2] == [b"sleep", text.encode()] and alive(int(name)):
                    found.append(int(name))
    return found


def _damage(path: Path) -> None:
    """Overwrite the middle of the file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 3)
        file.write(b"\xa5" * (size // 3))


@pytest.mark.parametrize("how", ["middle", "short", "text"])
def test_damaged_state_is_refused(launcher: Launcher, how: str) -> None:
    no_reserve = {"reserve.LOG_BYTES": 0, "reserve.FREE_BYTES": 0}  # else the damage is where nothing is stored
    with instance(launcher, **no_reserve) as box:
        box.client.run("kept", ["sleep", "1000"])
        pid = box.client.state("kept")["Pid"]
        box.stop()  # closes the file, so that everything is in it
        box.start()
        box.stop()
        path = box.data / "state.db"
        saved = path.read_bytes()
        if how == "middle":
            _damage(path)
        else:
            path.write_bytes(saved[: len(saved) // 2] if how == "short" else b"not a database" * 1000)
        damaged = path.read_bytes()
        before = box.log.stat().st_size
        box.start(answers=False)
        box.gone()
        said = box.log.read_bytes()[before:].decode()
        assert str(path) in said and "state.db.backup" in said and "Traceback" not in said, said
        assert path.read_bytes() == damaged, "the damaged file was changed"
        assert alive(pid), "the container was touched"
        path.write_bytes((box.data / "state.db.backup").read_bytes())
        for name in ("state.db-wal", "state.db-shm"):
            (box.data / name).unlink(missing_ok=True)
        box.start()
        assert box.client.state("kept")["Pid"] == pid
        invariants.check(box)


START = 1_700_000_000 * SECOND


class FakeClock:
    """Time that a test moves; the wall clock and the monotonic one apart."""

    def __init__(self) -> None:
        self.wall = START
        self.steady = 5 * SECOND
        self.slept: list[int] = []

    def now(self) -> int:
        return self.wall

    def monotonic(self) -> int:
        return self.steady

    async def sleep(self, nanoseconds: int) -> None:
        self.slept.append(nanoseconds)
        self.steady += nanoseconds
        self.wall += nanoseconds
        await asyncio.sleep(0)


def _container(check: HealthCheck) -> Container:
    return Container(
        id="c" * 64,
        name="box",
        created_at=1,
        image_id="sha256:" + "0" * 64,
        image_size=0,
        spec=ContainerSpec(image="busybox"),
        process=Process(("sh",), (), "", "", None, ("sh",)),
        labels={},
        exposed_ports=(),
        volumes=(),
        stop_signal="SIGTERM",
        platform="linux/amd64",
        runtime="crun",
        state=State(phase=Phase.RUNNING, started_at=START),
        health=check,
    )


class _Record:
    """As much of the records as the monitor of health needs."""

    def __init__(self, container: object) -> None:
        self.container = container

    def find(self, _identifier: str) -> object:
        return self.container

    async def save(self, container: object, *_events: object) -> object:
        self.container = container
        return container


class _Groups:
    """No service group follows what happens."""

    async def follow(self, container: object) -> None:
        return


@pytest.mark.parametrize("jump", [-3600 * SECOND, 3600 * SECOND, -86400 * 365 * SECOND])
async def test_health_checks_do_not_follow_the_wall_clock(
    jump: int,
) -> None:
    clock = FakeClock()
    check = HealthCheck(test=("CMD", "x"), interval=30 * SECOND, start_period=60 * SECOND, start_interval=5 * SECOND)
    records = _Record(_container(check))
    probes = 0

    async def probe(*_arguments: object) -> tuple[int, bytes]:
        nonlocal probes
        probes += 1
        clock.wall += jump  # the clock jumps while the probe runs
        if probes == 20:
            records.container = None
        return 1, b""

    await HealthMonitor(records, Lives(), clock, probe, _Groups()).watch("x")  # type: ignore[arg-type]
    # In the start period of 60 s every 5 s, then every 30: whatever the wall clock says.
    assert clock.slept[:12] == [5 * SECOND] * 12
    assert set(clock.slept[12:]) == {30 * SECOND}


@pytest.mark.parametrize("ran_for", [0, SECOND, -5])
def test_back_off_grows_whatever_the_clock_says(ran_for: int) -> None:
    delay, seen = 0, []
    for _ in range(12):
        delay = restarts.next_delay(delay, ran_for)
        seen.append(delay)
    assert seen[:4] == [SECOND // 10, SECOND // 5, SECOND * 2 // 5, SECOND * 4 // 5]
    assert seen[-1] == 60 * SECOND
