"""The door through real clients against a real daemon: docker-py, and raw connections that behave badly."""

import contextlib
import io
import json
import os
import socket
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker import DockerClient

from boxship.wire.stream import FrameReader
from daemons import Daemon, until

SECONDS = 30.0
SPARE_DESCRIPTORS = 2  # connections of idle clients may come and go meanwhile


@pytest.fixture
def client(daemon: Daemon) -> Iterator[DockerClient]:
    with_timeout = docker.DockerClient(base_url=daemon.url, timeout=30)
    yield with_timeout
    with_timeout.close()


@pytest.fixture
def sleeper(client: DockerClient) -> Iterator[Any]:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True, init=True)
    yield container
    container.remove(force=True)


class Raw:
    """A connection that says exactly what it is told to."""

    def __init__(self, daemon: Daemon) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(str(daemon.socket))

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, head: str, body: bytes = b"") -> None:
        self.socket.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)

    def head(self) -> str:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.socket.recv(1)
            assert piece, data
            data += piece
        return data.decode()

    def rest(self) -> bytes:
        data = b""
        while piece := self.socket.recv(65536):
            data += piece
        return data


def attach(raw: Raw, identifier: str, query: str) -> str:
    raw.send(
        f"POST /containers/{identifier}/attach?{query} HTTP/1.1\nHost: d\n"
        "Connection: Upgrade\nUpgrade: tcp\nContent-Length: 0"
    )
    return raw.head()


def test_run_tells_output_and_exit_code(client: DockerClient) -> None:
    assert client.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 3"], remove=True)
    assert (caught.value.exit_status, caught.value.stderr) == (3, b"bad\n")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("nothing-here")


def test_attach_before_start_misses_nothing_and_survives_half_close(daemon: Daemon, client: DockerClient) -> None:
    made = client.api.create_container("busybox", ["sh", "-c", "cat; echo done"], stdin_open=True, host_config={})
    identifier = made["Id"]
    client.api.inspect_container(identifier)
    with Raw(daemon) as raw:
        assert "101 UPGRADED" in attach(raw, identifier, "stream=1&stdin=1&stdout=1&stderr=1")
        client.api.start(identifier)
        raw.socket.sendall(b"input\n")
        raw.socket.shutdown(socket.SHUT_WR)
        frames = list(FrameReader().feed(raw.rest()))
        assert {stream for stream, _ in frames} == {1}
    # the container keeps its stdin open for the next client, as StdinOnce is not set
    assert b"".join(data for _, data in frames).startswith(b"input\n")
    client.api.remove_container(identifier, force=True)


def test_stdin_once_ends_the_process_with_its_client(daemon: Daemon, client: DockerClient) -> None:
    body = {"Image": "busybox", "Cmd": ["cat"], "OpenStdin": True, "StdinOnce": True, "AttachStdin": True}
    made = client.api.create_container_from_config(body)
    with Raw(daemon) as raw:
        attach(raw, made["Id"], "stream=1&stdin=1&stdout=1")
        client.api.start(made["Id"])
        raw.socket.sendall(b"x" * 300_000)
        raw.socket.shutdown(socket.SHUT_WR)
        assert sum(len(data) for _, data in FrameReader().feed(raw.rest())) == 300_000
    assert client.api.wait(made["Id"])["StatusCode"] == 0
    client.api.remove_container(made["Id"])


def test_wait_says_its_head_at_once(daemon: Daemon, sleeper: Any) -> None:
    with Raw(daemon) as raw:
        raw.send(f"POST /containers/{sleeper.id}/wait?condition=next-exit HTTP/1.1\nHost: d\nContent-Length: 0")
        assert raw.head().startswith("HTTP/1.1 200 OK")
        sleeper.kill()
        assert b'{"StatusCode":137}' in raw.socket.recv(1000)


def test_exec_streams_and_exit_codes(client: DockerClient, sleeper: Any) -> None:
    assert sleeper.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True) == (0, (b"out\n", b"err\n"))
    assert sleeper.exec_run(["sh", "-c", "exit 7"]).exit_code == 7
    assert sleeper.exec_run(["pwd"], workdir="/tmp", environment={"A": "b"}).output == b"/tmp\n"
    missing = sleeper.exec_run(["no-such-program"])
    assert missing.exit_code in (126, 127) and b"no-such-program" in missing.output
    made = client.api.exec_create(sleeper.id, ["cat"], stdin=True)
    stream = client.api.exec_start(made["Id"], socket=True)._sock
    stream.sendall(b"both ways")
    stream.shutdown(socket.SHUT_WR)
    data = b""
    while piece := stream.recv(1000):
        data += piece
    stream.close()
    assert list(FrameReader().feed(data)) == [(1, b"both ways")]
    shown = client.api.exec_inspect(made["Id"])
    assert shown["Running"] is False and shown["ExitCode"] == 0


def test_logs_in_full_by_tail_and_following(client: DockerClient) -> None:
    script = "for i in 1 2 3 4 5; do echo line $i; done; sleep 0.2; echo last"
    container = client.containers.run("busybox", ["sh", "-c", script], detach=True)
    lines = b"".join(container.logs(stream=True, follow=True)).splitlines()
    assert lines == [b"line 1", b"line 2", b"line 3", b"line 4", b"line 5", b"last"]
    assert container.logs(tail=2) == b"line 5\nlast\n"
    stamped = container.logs(timestamps=True, tail=1).decode()
    assert stamped.endswith("Z last\n") and stamped[10] == "T"
    assert container.logs(since=int(time.time()) + 1000) == b""
    container.remove()


def test_events_tell_a_containers_life(client: DockerClient) -> None:
    seen: list[dict[str, Any]] = []
    stream = client.events(decode=True, filters={"label": ["told=yes"]})
    reader = threading.Thread(target=lambda: seen.extend(event for event in stream))
    reader.start()
    client.containers.run("busybox", ["true"], labels={"told": "yes"}, remove=True, name="told-container")
    until(lambda: seen and seen[-1]["Action"] == "destroy", SECONDS, "the container's end is told")
    stream.close()
    reader.join(SECONDS)
    actions = [event["Action"] for event in seen]
    assert [action for action in actions if action in ("create", "start", "die", "destroy")] == [
        "create",
        "start",
        "die",
        "destroy",
    ]
    died = next(event for event in seen if event["Action"] == "die")
    attributes = died["Actor"]["Attributes"]
    assert attributes["exitCode"] == "0" and attributes["name"] == "told-container" and attributes["told"] == "yes"
    again = client.events(decode=True, since=died["time"] - 5, until=died["time"] + 1, filters={"event": "die"})
    assert died["id"] in [event["id"] for event in again]


def test_files_go_in_and_out(client: DockerClient, sleeper: Any) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("hello.txt")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    assert sleeper.put_archive("/tmp", buffer.getvalue())
    pieces, found = sleeper.get_archive("/tmp/hello.txt")
    assert found["size"] == 5 and found["name"] == "hello.txt"
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        content = tar.extractfile("hello.txt")
        assert content is not None and content.read() == b"hello"
    assert {"Path": "/tmp/hello.txt", "Kind": 1} in sleeper.diff()
    with pytest.raises(docker.errors.NotFound):
        sleeper.get_archive("/nowhere")


def test_stats_and_top(sleeper: Any) -> None:
    shown = sleeper.stats(stream=False)
    assert shown["pids_stats"]["current"] >= 1 and shown["memory_stats"]["limit"] > 0
    assert shown["cpu_stats"]["system_cpu_usage"] > shown["precpu_stats"]["system_cpu_usage"] > 0
    assert "eth0" in shown["networks"]
    assert any("sleep" in row[-1] for row in sleeper.top()["Processes"])


def test_what_is_set_is_shown(client: DockerClient) -> None:
    container = client.containers.create(
        "busybox",
        "sleep 1",
        name="shown",
        environment={"A": "1"},
        labels={"k": "v"},
        mem_limit="32m",
        nano_cpus=500_000_000,
        pids_limit=20,
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
        ports={"80/tcp": ("127.0.0.1", 0)},
        tmpfs={"/run": "size=64k"},
        cap_add=["NET_ADMIN"],
        ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)],
        healthcheck={"test": ["CMD", "true"], "interval": 10**9},
        extra_hosts={"a": "10.0.0.1"},
    )
    try:
        host, config = container.attrs["HostConfig"], container.attrs["Config"]
        assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (32 << 20, 500_000_000, 20)
        assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
        assert host["Ulimits"] == [{"Name": "nofile", "Soft": 100, "Hard": 200}]
        assert config["Labels"]["k"] == "v" and "A=1" in config["Env"] and config["Cmd"] == ["sleep", "1"]
        assert client.containers.list(all=True, filters={"label": "k=v", "status": "created"}) == [container]
        with pytest.raises(docker.errors.APIError) as caught:
            client.containers.create("busybox", name="shown")
        assert caught.value.status_code == 409 and "is already in use by container" in str(caught.value)
    finally:
        container.remove()


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("POST /containers/create HTTP/1.1\nHost: d\nContent-Type: application/json\nContent-Length: 9", b'{"Image":'),
        (
            "POST /containers/create HTTP/1.1\nHost: d\nContent-Type: application/json\nContent-Length: 12",
            b'{"Image":[]}',
        ),
        ("POST /containers/create HTTP/1.1\nHost: d\nContent-Type: application/json\nContent-Length: 9999999999", b"{"),
        ("GET /containers/%00/json HTTP/1.1\nHost: d", b""),
        ("GET /containers/..%2f..%2fetc/json HTTP/1.1\nHost: d", b""),
        ("GET /containers/json?filters=%7B%22name%22%3A%5B%22%28a%2B%29%2B%22%5D%7D&all=1 HTTP/1.1\nHost: d", b""),
        ("DELETE /volumes/..%2f..%2fetc HTTP/1.1\nHost: d", b""),
        ("GET /images/%ff%fe/json HTTP/1.1\nHost: d", b""),
        ("POST /images/create?fromSrc=-&repo=../../etc HTTP/1.1\nHost: d\nContent-Length: 4", b"junk"),
        ("POST /containers/x/rename?name=../../etc HTTP/1.1\nHost: d\nContent-Length: 0", b""),
        ("GET /events?since=99999999999999999999 HTTP/1.1\nHost: d", b""),
        ("GET /v9999999999.1/info HTTP/1.1\nHost: d", b""),
    ],
)
def test_bad_requests_get_a_clear_error(daemon: Daemon, head: str, body: bytes) -> None:
    with Raw(daemon) as raw:
        raw.send(head, body)
        answer = raw.head()
        assert 400 <= int(answer.split()[1]) < 500, answer


def test_bodies_that_break_off_and_clients_that_vanish_leave_nothing(
    daemon: Daemon, client: DockerClient, sleeper: Any
) -> None:
    before = _descriptors(daemon)
    chunk = b"8\r\nabcdefgh\r\n"
    for _ in range(5):
        for path in ("/images/load", "/images/create?fromSrc=-", f"/containers/{sleeper.id}/archive?path=/tmp"):
            method = "PUT" if "archive" in path else "POST"
            with Raw(daemon) as raw:
                raw.send(f"{method} {path} HTTP/1.1\nHost: d\nTransfer-Encoding: chunked", chunk)
        for path in ("/events", f"/containers/{sleeper.id}/logs?follow=1&stdout=1", f"/containers/{sleeper.id}/stats"):
            with Raw(daemon) as raw:
                raw.send(f"GET {path} HTTP/1.1\nHost: d")
                raw.head()
        with Raw(daemon) as raw:
            attach(raw, sleeper.id, "stream=1&stdout=1&stdin=1")
        with Raw(daemon) as raw:
            raw.send(f"POST /containers/{sleeper.id}/wait HTTP/1.1\nHost: d\nContent-Length: 0")
            raw.head()
    deadline = time.monotonic() + SECONDS
    while kept := list((Counter(_descriptors(daemon)) - Counter(before)).elements())[SPARE_DESCRIPTORS:]:
        assert time.monotonic() < deadline, f"the daemon holds on to {kept}"
        time.sleep(0.05)
    assert client.ping()


def _descriptors(daemon: Daemon) -> list[str]:
    assert daemon.process is not None
    folder = Path(f"/proc/{daemon.process.pid}/fd")
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(path)
            if "/netns/" not in target:  # a store of ready ones, which fills up again by itself
                found.append(target.partition("[")[0])  # sockets alike, whatever their numbers
    return found


def test_two_clients_removing_one_container(daemon: Daemon, client: DockerClient) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    results: list[object] = []

    def remove() -> None:
        with Raw(daemon) as raw:
            raw.send(f"DELETE /containers/{container.id}?force=1 HTTP/1.1\nHost: d")
            results.append(int(raw.head().split()[1]))

    _at_once(remove, 4)
    assert sorted(set(map(str, results))) in (["204"], ["204", "404"], ["204", "409"], ["204", "404", "409"])
    assert results.count(204) == 1
    with pytest.raises(docker.errors.NotFound):
        container.reload()


def _at_once(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)


def test_shapes_follow_the_version(daemon: Daemon, client: DockerClient) -> None:
    image = client.images.get("busybox")
    for version, field, present in (("1.43", "VirtualSize", True), ("1.44", "VirtualSize", False)):
        with Raw(daemon) as raw:
            raw.send(f"GET /v{version}/images/{image.id}/json HTTP/1.1\nHost: d\nConnection: close")
            raw.head()
            assert (field in json.loads(raw.rest())) is present
    for agent, present in (("docker-compose/1.29.2 docker-py/5.0.3 Linux/6.1", True), ("docker/28.2.2", False)):
        with Raw(daemon) as raw:
            raw.send(f"GET /v1.51/images/{image.id}/json HTTP/1.1\nHost: d\nUser-Agent: {agent}\nConnection: close")
            raw.head()
            shown = json.loads(raw.rest())
            assert ("ContainerConfig" in shown) is present
            assert not present or shown["ContainerConfig"] == shown["Config"]
