"""A raw HTTP client of the Docker API over a unix socket: one connection a request, and errors as they come.

It keeps apart what a test must tell apart: a reply (acknowledged), and a connection that broke (nobody knows).
"""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

VERSION = "/v1.43"


class Lost(Exception):
    """The daemon went away before it answered."""


class Refused(Exception):
    """The daemon answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("docker", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """Requests to one daemon."""

    def __init__(self, path: Path, seconds: float = 60.0) -> None:
        self._path = str(path)
        self._seconds = seconds

    @contextlib.contextmanager
    def _exchange(
        self, method: str, path: str, query: dict[str, Any], body: object
    ) -> "Iterator[http.client.HTTPResponse]":
        text = f"{VERSION}{path}" + (f"?{urlencode(query)}" if query else "")
        raw = isinstance(body, bytes)
        data = body if raw else json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/x-tar" if raw else "application/json"} if data is not None else {}
        connection = _Connection(self._path, self._seconds)
        try:
            connection.request(method, text, data, headers)
            yield connection.getresponse()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise Lost(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def call(self, method: str, path: str, body: object = None, /, **query: Any) -> Any:
        """The parsed reply. Raises Refused for an error, Lost where no whole reply came."""
        with self._exchange(method, path, query, body) as response:
            data = response.read()
            if response.status >= 400:
                try:
                    message = json.loads(data)["message"]
                except (ValueError, KeyError):
                    message = data.decode(errors="replace")
                raise Refused(response.status, message)
            if response.headers.get_content_type() == "application/json" and data:
                try:
                    return json.loads(data)
                except ValueError:  # a stream of JSON lines
                    return [json.loads(line) for line in data.splitlines() if line.strip()]
            return data

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, **query)

    def post(self, path: str, body: object = None, **query: Any) -> Any:
        return self.call("POST", path, body, **query)

    def delete(self, path: str, **query: Any) -> Any:
        return self.call("DELETE", path, **query)

    def answers(self) -> bool:
        """Whether the daemon answers a ping."""
        try:
            return bool(self.get("/_ping"))
        except (Lost, Refused):
            return False

    def create(self, name: str, command: list[str], image: str = "busybox", **config: Any) -> str:
        """A new container's id."""
        host = config.pop("HostConfig", {})
        body = {"Image": image, "Cmd": command, "HostConfig": host, **config}
        return str(self.post("/containers/create", body, name=name)["Id"])

    def run(self, name: str, command: list[str], **config: Any) -> str:
        """A started container's id."""
        identifier = self.create(name, command, **config)
        self.post(f"/containers/{identifier}/start")
        return identifier

    def inspect(self, ref: str) -> dict[str, Any]:
        return dict(self.get(f"/containers/{quote(ref)}/json"))

    def state(self, ref: str) -> dict[str, Any]:
        return dict(self.inspect(ref)["State"])

    def remove(self, ref: str) -> None:
        self.delete(f"/containers/{quote(ref)}", force=1, v=1)

    def wait(self, ref: str) -> int:
        """The exit code of a container that ends."""
        return int(self.post(f"/containers/{quote(ref)}/wait")["StatusCode"])

    def logs(self, ref: str) -> str:
        """Standard output and error of a container without a terminal, as text."""
        return demultiplex(self.get(f"/containers/{quote(ref)}/logs", stdout=1, stderr=1))

    def exec(self, ref: str, command: list[str]) -> tuple[int, str]:
        """Run a command in a container: exit code and output."""
        made = self.post(f"/containers/{quote(ref)}/exec", {"Cmd": command, "AttachStdout": True, "AttachStderr": True})
        output = demultiplex(self.post(f"/exec/{made['Id']}/start", {"Detach": False, "Tty": False}))
        return int(self.get(f"/exec/{made['Id']}/json")["ExitCode"]), output

    def stream(self, method: str, path: str, /, **query: Any) -> "Iterator[bytes]":
        """Pieces of a reply as they come, until it ends or the daemon goes."""
        with self._exchange(method, path, query, None) as response:
            while piece := response.read1(65536):
                yield piece


def demultiplex(data: bytes) -> str:
    """The payload of Docker's multiplexed stream."""
    parts, at = [], 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        parts.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    return b"".join(parts).decode(errors="replace")
