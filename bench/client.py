"""The same small client for every engine: HTTP over its unix socket, with a connection that is kept."""

import http.client
import json
import socket
from typing import Any

API = "/v1.40"  # spoken by all of the engines that are measured
CHUNK = 1 << 20  # bytes read at a time


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Refused(Exception):
    """The engine answered with an error."""


class Client:
    """One connection to one engine. Not for several threads at once."""

    def __init__(self, path: str, timeout: float = 120) -> None:
        self.path = path
        self.timeout = timeout
        self.connection = _UnixConnection(path, timeout)

    def ask(
        self, method: str, path: str, body: object = None, data: object = None, kind: str = "application/json"
    ) -> Any:
        """The JSON of an answer (None without one). Raises Refused for a status of 400 or more."""
        sent = json.dumps(body).encode() if body is not None else data
        headers = {"Content-Type": kind} if sent is not None else {"Content-Length": "0"}
        try:
            self.connection.request(method, API + path, sent, headers)
            response = self.connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
            # A kept connection may have been closed by the other side while it was idle.
            self.connection = _UnixConnection(self.path, self.timeout)
            self.connection.request(method, API + path, sent, headers)
            response = self.connection.getresponse()
        content = response.read()
        if response.status >= 400:
            raise Refused(f"{method} {path}: {response.status} {content[:300]!r}")
        try:
            return json.loads(content) if content.strip() else None
        except ValueError:
            return content.decode(errors="replace")

    def create(self, command: list[str], network: str = "bridge", **more: Any) -> str:
        host = {"NetworkMode": network, **more.pop("HostConfig", {})}
        answer = self.ask("POST", "/containers/create", {"Image": IMAGE, "Cmd": command, "HostConfig": host, **more})
        return str(answer["Id"])

    def start(self, container: str) -> None:
        self.ask("POST", f"/containers/{container}/start")

    def wait(self, container: str) -> int:
        return int(self.ask("POST", f"/containers/{container}/wait")["StatusCode"])

    def remove(self, container: str) -> None:
        self.ask("DELETE", f"/containers/{container}?force=1&v=1")

    def drain(self, method: str, path: str, body: object = None, *, upgrade: bool = False) -> tuple[int, float]:
        """Read a stream to its end on a connection of its own: its bytes, and seconds from the first to the last."""
        from time import perf_counter

        with self.open_stream(method, path, body, upgrade=upgrade) as stream:
            size, first = 0, 0.0
            buffer = bytearray(CHUNK)
            while count := stream.recv_into(buffer):
                first = first or perf_counter()
                size += count
            return size, perf_counter() - first if first else 0.0

    def open_stream(self, method: str, path: str, body: object = None, *, upgrade: bool = False) -> socket.socket:
        """A raw connection, past the answer's headers. Without upgrade the answer's end is the connection's end."""
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(self.timeout)
        stream.connect(self.path)
        sent = json.dumps(body).encode() if body is not None else b""
        lines = [f"{method} {API}{path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(sent)}"]
        lines += ["Content-Type: application/json"] if sent else []
        lines += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else ["Connection: close"]
        stream.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + sent)
        head = b""
        while b"\r\n\r\n" not in head:
            piece = stream.recv(1)
            if not piece:
                raise Refused(f"{method} {path}: no answer")
            head += piece
        if int(head.split(b" ", 2)[1]) >= 400:
            raise Refused(f"{method} {path}: {head[:40]!r} {stream.recv(300)!r}")
        return stream


IMAGE = "bench:latest"
