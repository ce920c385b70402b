"""After kill -9: containers, connections and logs go on; what ended meanwhile is known; policies and checks resume.

And the recovery itself is killed at every one of its steps.
"""

import contextlib
import json
import os
import signal
import socket
import time

import invariants
import pytest
from faults_client import Lost, Refused
from faults_instance import Instance, Launcher, alive, eventually, instance

DEADLINE = 20.0
ECHO = ["nc", "-ll", "-p", "7", "-e", "cat"]
RECOVERY_STEPS = 120


def _published(box: Instance, ref: str) -> int:
    ports = box.client.inspect(ref)["NetworkSettings"]["Ports"]
    return int(ports["7/tcp"][0]["HostPort"])


def _echo(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    answer = b""
    while len(answer) < len(text):
        piece = connection.recv(4096)
        assert piece, "the connection was cut"
        answer += piece
    return answer


def _host_address() -> str:
    """An address of this machine that is not its loopback."""
    for link in json.loads(os.popen("ip -j -4 addr show scope global").read()):
        if link["ifname"] == "eth0":
            return str(link["addr_info"][0]["local"])
    pytest.skip("there is no eth0")


def test_connections_live_through_kill_and_restart(box: Instance) -> None:
    box.client.run("echo", ECHO, HostConfig={"PortBindings": {"7/tcp": [{"HostPort": ""}]}})
    port = _published(box, "echo")
    for address in ("127.0.0.1", _host_address()):
        with contextlib.closing(_connect(address, port)) as connection:
            assert _echo(connection, b"before") == b"before"
            box.kill()
            assert _echo(connection, b"while the daemon is dead") == b"while the daemon is dead"
            with contextlib.closing(_connect(address, port)) as second:
                assert _echo(second, b"new") == b"new"
            box.start()
            assert _echo(connection, b"after") == b"after"
            assert _published(box, "echo") == port
    invariants.check(box)


def _connect(address: str, port: int) -> socket.socket:
    def attempt() -> socket.socket | None:
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection((address, port), timeout=10)
        return None

    found = eventually(attempt, DEADLINE, f"something listens at {address}:{port}")
    assert isinstance(found, socket.socket)
    return found


def test_names_resolve_after_restart(box: Instance) -> None:
    box.client.post("/networks/create", {"Name": "net"})
    box.client.run("server", ["sleep", "1000"], HostConfig={"NetworkMode": "net"})
    box.client.run("user", ["sleep", "1000"], HostConfig={"NetworkMode": "net"})
    box.restart()
    code, output = box.client.exec("user", ["nslookup", "server"])
    address = box.client.inspect("server")["NetworkSettings"]["Networks"]["net"]["IPAddress"]
    assert code == 0 and address in output, output
    third = box.client.run("third", ["sleep", "1000"], HostConfig={"NetworkMode": "net"})
    assert box.client.inspect(third)["NetworkSettings"]["Networks"]["net"]["IPAddress"] != address
    invariants.check(box)


def test_logs_go_on_while_the_daemon_is_dead(box: Instance) -> None:
    script = "i=0; while [ $i -lt 60 ]; do echo line-$i; i=$((i+1)); sleep 0.02; done"
    box.client.run("writer", ["sh", "-c", script])
    eventually(lambda: "line-3" in box.client.logs("writer"), DEADLINE, "the first lines")
    box.kill()
    pid = invariants.monitors(box)[0][0]
    eventually(lambda: not alive(pid), DEADLINE, "the container ends by itself")
    box.start()
    assert box.client.logs("writer").splitlines() == [f"line-{number}" for number in range(60)]


@pytest.mark.parametrize("code", [0, 3, 137, 255])
def test_exit_codes_while_the_daemon_is_dead(box: Instance, code: int) -> None:
    box.client.run("short", ["sh", "-c", f"read x; exit {code}"], OpenStdin=True)
    pid = box.client.state("short")["Pid"]
    ending = ["sh", "-c", f"while [ -e /proc/1/root ] && ! [ -e /go ]; do sleep 0.02; done; exit {code}"]
    box.client.run("second", ending)
    made = box.client.post(
        "/containers/second/exec", {"Cmd": ["sh", "-c", "while ! [ -e /go ]; do sleep 0.02; done; exit 9"]}
    )
    box.client.post(f"/exec/{made['Id']}/start", {"Detach": True})
    second = box.client.state("second")["Pid"]
    box.kill()
    os.kill(pid, signal.SIGTERM)
    before = time.time()
    with open(f"/proc/{second}/root/go", "w"):
        pass
    eventually(lambda: not alive(second), DEADLINE, "the second container ends")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid), DEADLINE, "the first container ends")
    box.start()
    state = box.client.state("second")
    assert (state["Status"], state["ExitCode"]) == ("exited", code)
    assert state["FinishedAt"][:16] >= time.strftime("%Y-%m-%dT%H:%M", time.gmtime(before - 60))
    assert box.client.wait("second") == code
    assert box.client.wait("short") in (137, 143)
    invariants.check(box)


def test_the_kernels_kill_for_memory_is_known(box: Instance) -> None:
    box.client.run(
        "eater",
        ["sh", "-c", "while ! [ -e /go ]; do sleep 0.02; done; x=a; while :; do x=$x$x; done"],
        HostConfig={"Memory": 16 << 20, "MemorySwap": 16 << 20},
    )
    pid = box.client.state("eater")["Pid"]
    box.kill()
    with open(f"/proc/{pid}/root/go", "w"):
        pass
    eventually(lambda: not alive(pid), DEADLINE, "the kernel kills it")
    box.start()
    state = box.client.state("eater")
    assert state["ExitCode"] == 137 and state["OOMKilled"], state


def test_restart_policies_resume(box: Instance) -> None:
    wait = ["sh", "-c", "while ! [ -e /go ]; do sleep 0.02; done; rm /go; exit 3"]
    policies = {
        "no": {"Name": "no"},
        "always": {"Name": "always"},
        "unless": {"Name": "unless-stopped"},
        "failure": {"Name": "on-failure", "MaximumRetryCount": 5},
        "stopped": {"Name": "unless-stopped"},
        "once-stopped": {"Name": "always"},
    }
    pids = {}
    for name, policy in policies.items():
        box.client.run(name, wait, HostConfig={"RestartPolicy": policy})
        pids[name] = box.client.state(name)["Pid"]
    for name in ("stopped", "once-stopped"):
        box.client.post(f"/containers/{name}/kill")
    box.kill()
    for name, pid in pids.items():
        if name not in ("stopped", "once-stopped"):
            with open(f"/proc/{pid}/root/go", "w"):
                pass
    eventually(lambda: not any(alive(pid) for pid in pids.values()), DEADLINE, "all end")
    box.start()
    for name in ("always", "unless", "failure", "once-stopped"):
        eventually(lambda name=name: box.client.state(name)["Running"], DEADLINE, f"{name} runs again")
    assert box.client.state("no")["Status"] == "exited" and box.client.state("no")["ExitCode"] == 3
    assert box.client.state("stopped")["Status"] == "exited"
    assert box.client.inspect("always")["RestartCount"] >= 1
    # A restart that was waiting for its back-off when the daemon was killed is not lost.
    for _ in range(3):
        pid = box.client.state("always")["Pid"]
        with contextlib.suppress(OSError), open(f"/proc/{pid}/root/go", "w"):
            pass
        eventually(lambda pid=pid: box.client.state("always")["Pid"] != pid, DEADLINE, "it ends or restarts")
        box.restart()
        eventually(lambda: box.client.state("always")["Running"], DEADLINE, "always runs again")
    invariants.check(box)


def test_health_checks_resume(box: Instance) -> None:
    check = {"Test": ["CMD-SHELL", "test -e /well"], "Interval": 100_000_000, "Retries": 2, "Timeout": 5_000_000_000}
    box.client.run("sick", ["sh", "-c", "touch /well; sleep 1000"], Healthcheck=check)
    eventually(lambda: box.client.state("sick")["Health"]["Status"] == "healthy", DEADLINE, "healthy")
    box.restart()
    assert box.client.state("sick")["Health"]["Status"] == "healthy"
    box.client.exec("sick", ["rm", "/well"])
    eventually(lambda: box.client.state("sick")["Health"]["Status"] == "unhealthy", DEADLINE, "unhealthy")
    box.restart()
    assert box.client.state("sick")["Health"]["Status"] == "unhealthy"
    box.client.exec("sick", ["touch", "/well"])
    eventually(lambda: box.client.state("sick")["Health"]["Status"] == "healthy", DEADLINE, "healthy again")
    invariants.check(box)


def test_a_probe_that_was_cut_leaves_nothing(box: Instance) -> None:
    check = {"Test": ["CMD", "sleep", "777"], "Interval": 50_000_000, "Timeout": 600_000_000_000}
    box.client.run("slow", ["sleep", "1000"], Healthcheck=check)
    pid = box.client.state("slow")["Pid"]
    eventually(lambda: len(_processes_in(pid)) > 1, DEADLINE, "the probe runs")
    box.kill()
    box.start()
    eventually(lambda: len([run for _, _, run in invariants.monitors(box) if run]) <= 1, DEADLINE, "one probe at most")
    eventually(lambda: _processes_in(pid).count("sleep 777") <= 1, DEADLINE, "the old probe is gone")


def _processes_in(pid: int) -> list[str]:
    """Command lines of the processes in a process's pid namespace."""
    wanted = os.readlink(f"/proc/{pid}/ns/pid")
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{name}/ns/pid") == wanted:
                    with open(f"/proc/{name}/cmdline") as file:
                        found.append(file.read().replace("\0", " ").strip())
    return found


def test_auto_remove_while_the_daemon_is_dead(box: Instance) -> None:
    box.client.run("brief", ["sleep", "1000"], HostConfig={"AutoRemove": True}, Volumes={"/x": {}})
    pid = box.client.state("brief")["Pid"]
    box.kill()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid), DEADLINE, "it ends")
    box.start()
    with pytest.raises(Refused, match="No such container"):
        box.client.inspect("brief")
    invariants.check(box)


def test_paused_stays_paused(box: Instance) -> None:
    box.client.run("still", ["sleep", "1000"])
    box.client.post("/containers/still/pause")
    box.restart()
    assert box.client.state("still")["Status"] == "paused"
    box.client.post("/containers/still/unpause")
    assert box.client.exec("still", ["echo", "hi"]) == (0, "hi\n")
    box.client.post("/containers/still/pause")
    pid = box.client.state("still")["Pid"]
    box.kill()
    os.kill(pid, signal.SIGKILL)
    box.start()
    box.client.remove("still")
    invariants.check(box)


def test_stop_and_start_of_the_daemon_keeps_containers(box: Instance) -> None:
    box.client.run("keeps", ["sleep", "1000"], HostConfig={"PortBindings": {"7/tcp": [{"HostPort": ""}]}})
    before = box.client.inspect("keeps")
    box.stop()
    assert alive(before["State"]["Pid"])
    box.start()
    after = box.client.inspect("keeps")
    assert after["State"]["Pid"] == before["State"]["Pid"]
    assert after["NetworkSettings"] == before["NetworkSettings"]
    invariants.check(box)


def _wounded(box: Instance) -> None:
    """An instance with every kind of thing that recovery has to do."""
    client = box.client
    client.post("/networks/create", {"Name": "net"})
    client.run("lives", ["sleep", "1000"], HostConfig={"PortBindings": {"7/tcp": [{"HostPort": ""}]}})
    client.run("ends", ["sleep", "1000"], HostConfig={"NetworkMode": "net"})
    client.run("returns", ["sleep", "1000"], HostConfig={"RestartPolicy": {"Name": "always"}})
    client.run("vanishes", ["sleep", "1000"], HostConfig={"AutoRemove": True}, Volumes={"/x": {}})
    made = client.post("/containers/lives/exec", {"Cmd": ["sleep", "1000"]})
    client.post(f"/exec/{made['Id']}/start", {"Detach": True})
    client.create("half", ["true"])
    pids = [client.state(name)["Pid"] for name in ("ends", "returns", "vanishes")]
    box.arm(8)  # in the middle of a start
    with contextlib.suppress(Lost, OSError):
        client.post("/containers/half/start")
    box.gone()
    box.disarm()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids), DEADLINE, "they end")


def test_recovery_is_killed_at_every_step(launcher: Launcher) -> None:
    """Each start dies one step later than the one before, on what that one left, until a start comes through."""
    with instance(launcher) as box:
        _wounded(box)
        for number in range(1, RECOVERY_STEPS):
            box.arm(number)
            box.start(answers=False)
            eventually(lambda: not box.alive() or box.client.answers(), DEADLINE, "it answers or dies")
            try:
                eventually(lambda: box.client.state("returns")["Running"], DEADLINE, "policies are followed")
                invariants.check(box)
                break
            except (Lost, OSError):
                box.gone()
        box.disarm()
        assert number > 10, "recovery took too few steps"
        states = {name: box.client.state(name)["Status"] for name in ("lives", "ends", "returns", "half")}
        assert states == {"lives": "running", "ends": "exited", "returns": "running", "half": "created"}, states
        with pytest.raises(Refused, match="No such container"):
            box.client.inspect("vanishes")
        invariants.check(box)


@pytest.mark.slow
def test_one_kill_at_each_step_of_recovery(launcher: Launcher) -> None:
    """Each step of recovery is hit once on the same wounds, then the next start has to come through."""
    for number in range(1, RECOVERY_STEPS):
        with instance(launcher) as box:
            _wounded(box)
            box.arm(number)
            box.start(answers=False)
            killed = False
            try:
                eventually(lambda: not box.alive() or box.client.answers(), DEADLINE, "it answers or dies")
                eventually(lambda: box.client.state("returns")["Running"], DEADLINE, "policies are followed")
                invariants.check(box)
            except (Lost, OSError):
                box.gone()
                killed = True
            steps = box.disarm()
            if killed:
                box.start()
            try:
                eventually(lambda: box.client.state("returns")["Running"], DEADLINE, "policies are followed")
                assert box.client.state("lives")["Running"]
                invariants.check(box)
            except AssertionError as error:
                raise AssertionError(f"killed at {steps[-1] if steps else '-'}: {error}") from error
            if not killed:
                return
