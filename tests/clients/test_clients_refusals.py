"""What is refused, and how: every unsupported flag by its name, malformed bodies, absurd values, vanishing clients."""

import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from clients_box import SECONDS, Box, Wire

from daemons import Daemon, until

UNSUPPORTED = [
    (("--gpus", "all"), "unsupported: HostConfig.DeviceRequests"),
    (("--link", "other"), "unsupported: HostConfig.Links"),
    (("--storage-opt", "size=1g"), "unsupported: HostConfig.StorageOpt"),
    (("--isolation", "hyperv"), "solation"),
    (("--log-driver", "syslog"), "syslog"),
    (("--log-opt", "no-such=1"), "unknown log opt 'no-such'"),
    (("--mount", "type=image,src=busybox,dst=/x"), "unsupported: HostConfig.Mounts type image"),
    (("--volume-driver", "nfs", "-v", "some:/x"), "nfs"),
    (("--security-opt", "apparmor=some"), "apparmor"),
    (("--security-opt", "label=level:s0"), "label"),
    (("--security-opt", "nonsense"), "nonsense"),
    (("--ip6", "fd00::1", "--network", "{network}"), "v6"),
    (("--link-local-ip", "169.254.1.1", "--network", "{network}"), "ink"),
    (("--runtime", "kata"), "unknown or invalid runtime name: kata"),
    (("--ulimit", "nofile=5:2"), "ulimit"),
    (("-p", "80:80/sctp"), "sctp"),
    (("-p", "[::1]:8080:80"), "v6"),
]


@pytest.mark.parametrize(("flags", "text"), UNSUPPORTED, ids=[flags[0] + flags[1] for flags, _ in UNSUPPORTED])
def test_unsupported_flags_are_named(box: Box, flags: tuple[str, ...], text: str) -> None:
    network = box.network() if "{network}" in flags else ""
    name = box.name()
    given = [network if flag == "{network}" else flag for flag in flags]
    message = box.fails("run", "-d", "--name", name, *given, "busybox", "true")
    assert text in message
    assert "Unable to find image" not in message


BROKEN: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"nonsense", 400),
    (b"[]", 400),
    (b'"text"', 400),
    (b"null", 400),
    (b"{}", 400),
    (b'{"Image": 5}', 400),
    (b'{"Image": "busybox", "Cmd": {"a": 1}}', 400),
    (b'{"Image": "busybox", "Env": "A=b"}', 400),
    (b'{"Image": "busybox", "HostConfig": []}', 400),
    (b'{"Image": "busybox", "HostConfig": {"Memory": "much"}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"Memory": 1e400}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"Memory": 99999999999999999999}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"Memory": -1}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"PortBindings": {"99999/tcp": [{"HostPort": "1"}]}}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "x", "HostPort": "1"}]}}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "often"}}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"Binds": ["/"]}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"Mounts": [{"Type": "nonsense", "Target": "/x"}]}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"Devices": [{"PathOnHost": "/dev/null", "CgroupPermissions": "x"}]}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"NoSuchField": 1}}', 400),
    (b'{"Image": "busybox", "NoSuchField": 1}', 400),
    (b'{"Image": "busybox", "HostConfig": {"KernelMemory": 100000000}}', 400),
    (b'{"Image": "busybox", "HostConfig": {"UsernsMode": "private"}}', 400),
    (b'{"Image": "busybox", "Healthcheck": {"Test": ["CMD", "x"], "Interval": 5}}', 400),
    (b'{"Image": "busybox", "Healthcheck": {"Test": ["NONSENSE", "x"]}}', 400),
    (b'{"Image": "busybox", "StopTimeout": "soon"}', 400),
    (b'{"Image": "../../etc"}', 400),
    (b'{"Image": "busybox", "Cmd": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    (b'{"Image": "busybox", "Env": ["\xff\xfe"]}', 400),
    (b'{"Image": "nothing-here"}', 404),
]


@pytest.mark.parametrize(("body", "status"), BROKEN, ids=[str(index) for index in range(len(BROKEN))])
def test_broken_creates(daemon: Daemon, body: bytes, status: int) -> None:
    before = _containers(daemon)
    with Wire(daemon) as wire:
        found, answer = wire.ask("POST", "/v1.51/containers/create?name=broken", body)
    assert status <= found < 502 and found != 500, (found, answer)
    assert found in (status, 501), (found, answer)
    assert json.loads(answer)["message"]
    assert _containers(daemon) == before


def _containers(daemon: Daemon) -> str:
    with Wire(daemon) as wire:
        return wire.ask("GET", "/containers/json?all=1")[1].decode()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/containers/json?filters=nonsense", b""),
        ("GET", "/containers/json?filters=[]", b""),
        ("GET", "/containers/json?limit=many", b""),
        ("GET", "/events?since=nonsense&until=1", b""),
        ("POST", "/networks/create", b'{"Name": ""}'),
        ("POST", "/networks/create", b'{"Name": 1}'),
        ("POST", "/networks/create", b'{"Name": "x", "IPAM": {"Config": [{"Subnet": "10.0.0.0/99"}]}}'),
        ("POST", "/volumes/create", b'{"Name": "../x"}'),
        ("POST", "/volumes/create", b'{"Name": "' + b"x" * 5000 + b'"}'),
        ("POST", "/volumes/create", b'{"DriverOpts": 1}'),
        ("POST", "/containers/create?name=" + "x" * 5000, b'{"Image": "busybox"}'),
        ("POST", "/images/create?fromSrc=-&repo=Not/Allowed", b""),
        ("POST", "/build", b""),
    ],
)
def test_broken_requests(daemon: Daemon, method: str, path: str, body: bytes) -> None:
    with Wire(daemon) as wire:
        status, answer = wire.ask(method, path, body)
    assert status in (400, 501), (status, answer)
    assert json.loads(answer)["message"]


def test_wrong_content_type(daemon: Daemon) -> None:
    with Wire(daemon) as wire:
        status, answer = wire.ask("POST", "/containers/create", b'{"Image": "busybox"}', "text/plain")
    assert status == 400
    assert b"unsupported Content-Type header (text/plain): must be 'application/json'" in answer


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: x\r\n" % index for index in range(20_000)) + b"\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: -5\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: x\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999999999\r\n\r\n{",
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"GET /containers/..%2f..%2fetc/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
        b"GET /containers/%00/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
        b"GET /containers/%ff%fe/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    ],
    ids=str,
)
def test_bytes_that_are_no_request(daemon: Daemon, data: bytes) -> None:
    with Wire(daemon) as wire:
        try:
            wire.say(data)
            wire.socket.shutdown(socket.SHUT_WR)
            answer = wire.rest()
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
    assert not answer or answer.split()[1][:1] == b"4", answer[:200]
    assert daemon.process is not None
    assert daemon.process.poll() is None


def test_a_body_beyond_the_limit(daemon: Daemon) -> None:
    with Wire(daemon) as wire:
        body = b'{"Image": "busybox", "Env": ["' + b"x" * (20 << 20) + b'"]}'
        try:
            status, _ = wire.ask("POST", "/containers/create", body)
        except (BrokenPipeError, ConnectionResetError):
            status = 413
    assert status in (400, 413)


def settled(count: Callable[[], int]) -> int:
    """The count once it has stayed the same for half a second."""
    history: list[tuple[float, int]] = []

    def is_still() -> bool:
        history.append((time.monotonic(), count()))
        recent = {number for moment, number in history if moment > history[-1][0] - 0.5}
        return history[-1][0] - history[0][0] > 0.5 and len(recent) == 1

    until(is_still, SECONDS, "the count stays")
    return history[-1][1]


def test_clients_that_vanish_leave_nothing(box: Box) -> None:
    name = box.up("-i", do="cat")
    process = box.daemon.process
    assert process is not None

    def open_files() -> int:
        return len(os.listdir(f"/proc/{process.pid}/fd"))

    paths = (
        f"POST /containers/{name}/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp",
        f"GET /containers/{name}/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: d",
        f"GET /containers/{name}/stats HTTP/1.1\r\nHost: d",
        "GET /events HTTP/1.1\r\nHost: d",
        f"POST /containers/{name}/wait HTTP/1.1\r\nHost: d",
        f"GET /containers/{name}/export HTTP/1.1\r\nHost: d",
    )
    before = settled(open_files)  # the daemon makes network namespaces ready after each start
    for _ in range(5):
        for path in paths:
            with Wire(box.daemon) as wire:
                wire.say(f"{path}\r\nContent-Length: 0\r\n\r\n".encode())
                wire.head()
    until(lambda: open_files() <= before, SECONDS, "the connections are given back")
    assert box.state(name) == "running"


def test_a_thousand_idle_connections(daemon: Daemon) -> None:
    wires: list[Wire] = []
    try:
        for _ in range(1000):
            wires.append(Wire(daemon))
        with Wire(daemon) as wire:
            assert wire.ask("GET", "/_ping") == (200, b"OK")
    finally:
        for wire in wires:
            wire.socket.close()


def test_two_clients_remove_the_same(box: Box) -> None:
    name = box.up()
    request = f"DELETE /containers/{name}?force=1 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode()
    with Wire(box.daemon) as first, Wire(box.daemon) as second:
        first.say(request)
        second.say(request)
        answers = sorted(int(wire.rest().split()[1]) for wire in (first, second))
    assert answers[0] == 204
    assert answers[1] in (204, 404, 409)


def test_unmodified_and_conflicts(box: Box) -> None:
    name = box.up()

    def ask(method: str, path: str) -> Any:
        with Wire(box.daemon) as wire:
            return wire.ask(method, path)[0]

    assert ask("POST", f"/containers/{name}/start") == 304
    assert ask("DELETE", f"/containers/{name}") == 409
    assert ask("POST", f"/containers/{name}/pause") == 204
    assert ask("POST", f"/containers/{name}/pause") == 409
    assert ask("POST", f"/containers/{name}/unpause") == 204
    assert ask("POST", f"/containers/{name}/kill") == 204
    assert ask("POST", f"/containers/{name}/kill") == 409
    assert ask("POST", f"/containers/{name}/stop") == 304
    assert ask("POST", f"/containers/{name}/resize?h=x&w=1") == 400
    assert ask("DELETE", "/networks/bridge") == 403
    assert ask("GET", "/containers/no-such/json") == 404
    assert ask("PUT", f"/containers/{name}/json") == 404
    assert ask("GET", f"/containers/{name}/changes") == 200


def test_an_order_is_carried_out_though_its_client_vanishes(box: Box) -> None:
    name = box.made()
    for path, state in (("start", "running"), ("pause", "paused"), ("unpause", "running"), ("kill", "exited")):
        with Wire(box.daemon) as wire:
            wire.say(f"POST /containers/{name}/{path} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n".encode())
        box.becomes(name, "{{.State.Status}}", state)
