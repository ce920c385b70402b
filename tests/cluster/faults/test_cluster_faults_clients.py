"""Clients that behave badly: a flood of connections, watchers that read nothing, half-sent requests, bodies that never
come. Everybody else is served meanwhile."""

import contextlib
import gzip
import http.client
import json
import resource
import socket
import ssl
import time
from collections.abc import Iterator

import pytest
from control_kit import Control, running_control

CONNECTIONS = 600
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("clients")) as control:
        yield control


def memory_of(control: Control) -> int:
    """Resident bytes."""
    assert control.process is not None
    with open(f"/proc/{control.process.pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def served_in(control: Control) -> float:
    """Seconds that an ordinary request takes."""
    began = time.monotonic()
    assert control.request("GET", "/api/v1/namespaces/default").status == 200
    return time.monotonic() - began


def test_a_flood_of_connections(control: Control) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    before = memory_of(control)
    with contextlib.ExitStack() as stack:
        for number in range(CONNECTIONS):
            place = stack.enter_context(socket.create_connection(("127.0.0.1", control.port), 10))
            if number % 3 == 0:
                place.sendall(b"GET / HTTP/1.1\r\n\r\n")  # no TLS
            elif number % 3 == 1:
                place.sendall(b"\x16\x03\x01\x02\x00\x01")  # a handshake that stops
        assert served_in(control) < 5
        answer = control.kubectl("get", "namespaces", "-o", "name")
        assert "namespace/default" in answer.stdout
        assert memory_of(control) - before < 40 * 1024 * CONNECTIONS
    assert served_in(control) < 5


def test_watchers_that_read_nothing(control: Control) -> None:
    deaf = []
    for _ in range(10):
        connection = control.connection()
        connection.connect()
        assert connection.sock is not None
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.request("GET", f"{MAPS}?watch=true")
        deaf.append(connection)
    listening = control.connection()
    listening.request("GET", f"{MAPS}?watch=true&labelSelector=flood")
    heard = listening.getresponse()
    before = memory_of(control)
    body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": ""}, "data": {"x": "y" * 100_000}}
    writer = control.connection()
    for number in range(100):
        body["metadata"] = {"name": f"flood-{number}", "labels": {"flood": "1"}}
        writer.request("POST", MAPS, json.dumps(body), {"Content-Type": "application/json"})
        answer = writer.getresponse()
        answer.read()
        assert answer.status == 201
    for number in range(100):
        assert json.loads(heard.readline())["object"]["metadata"]["name"] == f"flood-{number}"
    grown = memory_of(control) - before
    assert grown < 150 << 20, f"{grown >> 20} MB for watchers that read nothing"
    assert served_in(control) < 5
    for connection in (*deaf, listening, writer):
        connection.close()
    assert control.request("DELETE", f"{MAPS}?labelSelector=flood").status == 200


def test_requests_that_stop_in_the_middle(control: Control) -> None:
    context = ssl.create_default_context(cafile=control.data / "pki" / "ca.crt")
    context.load_cert_chain(control.data / "pki" / "admin.crt", control.data / "pki" / "admin.key")
    with contextlib.ExitStack() as stack:
        for text in (
            "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
            "POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{{",
            "GET {} HTTP/1.1\r\nHost",
        ):
            for _ in range(20):
                plain = stack.enter_context(socket.create_connection(("127.0.0.1", control.port), 10))
                secure = stack.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1"))
                secure.sendall(text.format(MAPS).encode())
        assert served_in(control) < 5
    assert served_in(control) < 5


def test_too_much(control: Control) -> None:
    """Each with its Status, or with a closed connection where nothing can be answered any more."""

    def status_of(method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        try:
            answer = control.request(method, path, body, headers)
        except (ConnectionError, http.client.HTTPException, ssl.SSLError):
            return 0, ""
        return answer.status, answer.object["reason"]

    json_type = {"Content-Type": "application/json"}
    assert status_of("POST", MAPS, b"x" * (4 << 20), json_type) in ((413, "RequestEntityTooLarge"), (0, ""))
    assert status_of("POST", MAPS, b"{" * 1_000_000, json_type) == (400, "BadRequest")
    assert status_of("POST", MAPS, b"[" * 2_000_000, {"Content-Type": "application/yaml"}) == (400, "BadRequest")
    assert status_of("POST", MAPS, b"- " * 1_000_000, {"Content-Type": "application/yaml"}) == (400, "BadRequest")
    bomb = b"a: &a [" + b"x," * 1000 + b"]\n" + b"".join(b"k%d: [*a,*a,*a,*a]\n" % number for number in range(1000))
    assert status_of("POST", MAPS, bomb, {"Content-Type": "application/yaml"}) == (400, "BadRequest")
    assert status_of("GET", f"{MAPS}?labelSelector={'a,' * 20_000}", b"", {})[0] in (0, 400)
    for encoding in ("gzip", "deflate", "br", "none"):  # a bomb, where anybody opened it
        sent = {**json_type, "Content-Encoding": encoding}
        assert status_of("POST", MAPS, gzip.compress(b" " * 10_000_000), sent) == (415, "UnsupportedMediaType")
    assert status_of("GET", f"{MAPS}?{'a=b&' * 5000}", b"", {}) == (400, "BadRequest")
    assert status_of("OPTIONS", "*", b"", {}) == (404, "NotFound")
    assert served_in(control) < 5
