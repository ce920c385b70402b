"""Clients that vanish, sleep, crowd or compete: the daemon neither leaks tasks and descriptors nor stands still."""

import collections
import contextlib
import json
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator

import invariants
import pytest
from faults_client import VERSION, Lost, Refused
from faults_instance import Instance, Launcher, eventually

DEADLINE = 20.0
IDLE = 1000
ROUNDS = 25
NOISY = ["sh", "-c", "while :; do echo 0123456789012345678901234567890123456789012345678901234567890; done"]


@pytest.fixture(scope="module")
def box(launcher: Launcher) -> Iterator[Instance]:
    """One instance for all of these: what one leaks the next would see."""
    from faults_instance import instance

    with instance(launcher) as made:
        made.client.run("quiet", ["sleep", "1000"])
        made.client.run("reads", ["cat"], OpenStdin=True)
        made.client.run("noisy", NOISY, HostConfig={"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}})
        yield made
        made.client.remove("noisy")
        invariants.check(made)


def _open_files(box: Instance) -> int:
    return len(os.listdir(f"/proc/{box.pid}/fd"))


def _tasks(box: Instance) -> collections.Counter[str]:
    """How many tasks there are of each coroutine; without those that come and go by themselves."""
    return collections.Counter(line for line in box.tasks().splitlines() if line.startswith("task "))


def _request(box: Instance, text: str, body: bytes = b"") -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(DEADLINE)
    connection.connect(str(box.socket))
    connection.sendall(text.replace("PATH", VERSION).encode() + body)
    return connection


def _get(path: str) -> str:
    return f"GET PATH{path} HTTP/1.1\r\nHost: d\r\n\r\n"


def _post(path: str, *headers: str) -> str:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"POST PATH{path} HTTP/1.1\r\nHost: d\r\n{lines}\r\n"


UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")
STREAMS = "stream=1&stdout=1&stderr=1"
VANISHING = {
    "wait": _post("/containers/quiet/wait"),
    "wait next exit": _post("/containers/quiet/wait?condition=next-exit"),
    "wait removed": _post("/containers/quiet/wait?condition=removed"),
    "events": _get("/events"),
    "events filtered": _get("/events?filters=" + '{"type":["network"]}'.replace('"', "%22")),
    "logs of the quiet": _get("/containers/quiet/logs?follow=1&stdout=1"),
    "logs of the noisy": _get("/containers/noisy/logs?follow=1&stdout=1"),
    "stats": _get("/containers/quiet/stats?stream=1"),
    "attach": _post(f"/containers/quiet/attach?{STREAMS}", *UPGRADE),
    "attach plain": _post(f"/containers/quiet/attach?{STREAMS}"),
    "attach with input": _post(f"/containers/reads/attach?stdin=1&{STREAMS}", *UPGRADE),
    "attach noisy": _post(f"/containers/noisy/attach?{STREAMS}", *UPGRADE),
    "half a request": "GET PATH/containers/js",
    "half a head": "POST PATH/containers/create HTTP/1.1\r\nHost: d\r\nContent-Le",
    "half a body": _post("/containers/create", "Content-Type: application/json", "Content-Length: 1000") + '{"Im',
    "half a load": _post("/images/load", "Content-Type: application/x-tar", "Content-Length: 1000000") + "x" * 600,
    "half a chunk": _post("/images/load", "Transfer-Encoding: chunked") + "ffff\r\nabc",
    "half an archive": _post("/containers/quiet/archive?path=/tmp", "Content-Length: 100000").replace("POST", "PUT")
    + "x" * 600,
    "export": _get("/containers/quiet/export"),
    "save": _get("/images/busybox/get"),
    "archive": _get("/containers/quiet/archive?path=/bin"),
}


def _settled(box: Instance, files: int, tasks: collections.Counter[str]) -> None:
    """As many descriptors and tasks as before."""
    eventually(lambda: _open_files(box) <= files, DEADLINE, f"{files} descriptors, now {_open_files(box)}")

    def look() -> bool:
        more = _tasks(box) - tasks
        assert not more, f"tasks left: {more}"
        return True

    eventually(look, DEADLINE, "no task is left")


def _calm(box: Instance) -> tuple[int, collections.Counter[str]]:
    """Descriptors and tasks of the daemon at rest: the least of several looks, when two of them are the same."""
    seen = [-1, -2]
    eventually(lambda: seen.append(_open_files(box)) or seen[-1] == seen[-2], DEADLINE, "rest")
    tasks = _tasks(box)
    assert tasks, "there is no task, so the look at them is wrong"
    return seen[-1], tasks


@pytest.mark.parametrize("name", VANISHING)
def test_vanishing_clients(box: Instance, name: str) -> None:
    with contextlib.closing(_request(box, VANISHING[name])) as first:  # what is only made once is made now
        if not name.startswith("half"):
            answer = first.recv(64)
            assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")), answer
    files, tasks = _calm(box)
    files += 4  # ready network namespaces come and go
    for round_ in range(ROUNDS):
        connection = _request(box, VANISHING[name])
        if not name.startswith("half") and not name.startswith("wait") and round_ % 2:
            with contextlib.suppress(TimeoutError):
                connection.settimeout(0.2 if "quiet" in name or name in ("events filtered",) else DEADLINE)
                connection.recv(512)
        if round_ % 3 == 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    _settled(box, files, tasks)
    assert box.client.exec("quiet", ["echo", "hi"]) == (0, "hi\n")


def test_exec_clients_vanish(box: Instance) -> None:
    def round_() -> None:
        made = box.client.post(
            "/containers/quiet/exec",
            {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True},
        )
        body = json.dumps({"Detach": False}).encode()
        head = _post(
            f"/exec/{made['Id']}/start", *UPGRADE, "Content-Type: application/json", f"Content-Length: {len(body)}"
        )
        with contextlib.closing(_request(box, head, body)) as connection:
            assert b"101" in connection.recv(1024)
            connection.sendall(b"hello\n")
            assert connection.recv(1024)

    round_()
    eventually(lambda: len(invariants.monitors(box)) == 3, DEADLINE, "cat ends when its input does")
    files, tasks = _calm(box)
    for _ in range(5):
        round_()
    eventually(lambda: len(invariants.monitors(box)) == 3, DEADLINE, "every cat ends")
    _settled(box, files + 4, tasks)
    invariants.check(box)


def test_slow_readers_hold_nobody_up(box: Instance) -> None:
    """Clients that ask for much and read nothing: the others are answered, and the daemon's memory stays."""
    _request(box, VANISHING["logs of the noisy"]).close()
    files, tasks = _calm(box)
    before = _memory(box)
    slow = []
    for name in ("logs of the noisy", "attach noisy", "export", "save", "stats", "events"):
        slow += [_request(box, VANISHING[name]) for _ in range(4)]
    until = time.monotonic() + 2
    worst = 0.0
    while time.monotonic() < until:
        begun = time.monotonic()
        box.client.get("/containers/json", all=1)
        worst = max(worst, time.monotonic() - begun)
    assert worst < 2.0, f"an answer took {worst:.2f} s"
    assert _memory(box) - before < 64 << 20, f"{_memory(box) - before} bytes more"
    for connection in slow:
        connection.close()
    _settled(box, files + 4, tasks)


def _memory(box: Instance) -> int:
    with open(f"/proc/{box.pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_a_thousand_idle_connections(box: Instance) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 2 * IDLE), hard), hard))
    files, tasks = _calm(box)
    idle = [_request(box, _get("/_ping") if number % 2 else "") for number in range(IDLE)]
    try:
        assert eventually(lambda: _open_files(box) >= files + IDLE // 2, DEADLINE, "they are connected")
        begun = time.monotonic()
        assert box.client.exec("quiet", ["echo", "hi"]) == (0, "hi\n")
        box.client.run("meanwhile", ["true"])
        assert box.client.wait("meanwhile") == 0
        box.client.remove("meanwhile")
        assert time.monotonic() - begun < 5
    finally:
        for connection in idle:
            connection.close()
    _settled(box, files + 4, tasks)


def _together(count: int, act: Callable[[], object]) -> list[str]:
    """The same thing by several clients at once: "done" or the refusal of each."""
    results: list[str] = []
    barrier = threading.Barrier(count)

    def one() -> None:
        barrier.wait()
        try:
            act()
            results.append("done")
        except Refused as error:
            results.append(f"{error.status} {error.message}")
        except Lost as error:
            results.append(f"lost {error}")

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a client hangs"
    return results


@pytest.mark.parametrize("kind", ["container", "created", "network", "volume", "image"])
def test_many_clients_remove_the_same(box: Instance, kind: str) -> None:
    for _ in range(3):
        match kind:
            case "container":
                box.client.run("same", ["sleep", "1000"], Volumes={"/x": {}})
                path, query = "/containers/same", {"force": 1, "v": 1}
            case "created":
                box.client.create("same", ["sleep", "1000"], Volumes={"/x": {}})
                path, query = "/containers/same", {"v": 1}
            case "network":
                box.client.post("/networks/create", {"Name": "same"})
                path, query = "/networks/same", {}
            case "volume":
                box.client.post("/volumes/create", {"Name": "same"})
                path, query = "/volumes/same", {}
            case _:
                box.client.post("/images/busybox/tag", repo="same")
                path, query = "/images/same", {}
        results = _together(6, lambda path=path, query=query: box.client.delete(path, **query))
        refused = [result for result in results if result != "done"]
        assert "done" in results, results
        assert all(result.startswith(("404", "409")) for result in refused), results
        invariants.check(box)


def test_many_clients_start_stop_and_create_the_same(box: Instance) -> None:
    results = _together(6, lambda: box.client.create("same", ["sleep", "1000"]))
    assert results.count("done") == 1 and all(r.startswith(("409", "done")) for r in results), results
    assert set(_together(6, lambda: box.client.post("/containers/same/start"))) == {"done"}
    invariants.check(box)
    assert set(_together(6, lambda: box.client.post("/containers/same/stop", t=0))) == {"done"}
    results = _together(6, lambda: box.client.post("/containers/same/kill"))
    assert all(result.startswith("409") for result in results), results
    box.client.remove("same")
    invariants.check(box)


def test_a_probe_never_undoes_what_a_client_did(box: Instance) -> None:
    """Probes are recorded while clients pause and stop: the record must follow the clients."""
    check = {"Test": ["CMD", "true"], "Interval": 1_000_000}
    box.client.run("probed", ["sleep", "1000"], Healthcheck=check)
    for _ in range(25):
        box.client.post("/containers/probed/pause")
        assert box.client.state("probed")["Status"] == "paused"
        box.client.post("/containers/probed/unpause")
    for _ in range(5):
        box.client.post("/containers/probed/kill")
        eventually(lambda: box.client.state("probed")["Status"] == "exited", DEADLINE, "it has ended")
        box.client.post("/containers/probed/start")
    box.client.post("/containers/probed/pause")
    box.restart()
    assert box.client.state("probed")["Status"] == "paused"
    box.client.remove("probed")
    invariants.check(box)
