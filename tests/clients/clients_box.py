"""One test's containers, networks, volumes and images in the shared daemon, with names of their own."""

import contextlib
import itertools
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daemons import Daemon, docker_program, surroundings, until
from terminals import Terminal, on_terminal

SECONDS = 15.0  # the longest that a condition may take
_numbers = itertools.count(1)


class Box:
    """What one test makes. `do` is always a script for the container's shell."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon = daemon
        self.folder = folder
        self.since = time.time()
        self._made: dict[str, list[str]] = {"container": [], "network": [], "volume": [], "image": []}

    def name(self, kind: str = "container") -> str:
        """A name that no other test uses; what carries it goes at the end of the test."""
        name = f"{kind[:3]}-{os.getpid()}-{next(_numbers)}"
        self._made[kind].append(name)
        return name

    def docker(self, *arguments: str, **options: Any) -> str:
        """What the stock client prints; it has to succeed."""
        return self.daemon.docker(*arguments, **options).stdout

    def fails(self, *arguments: str, **options: Any) -> str:
        """What the stock client complains of; it has to fail."""
        done = self.daemon.docker(*arguments, check=False, **options)
        assert done.returncode != 0, f"docker {' '.join(arguments)} succeeds: {done.stdout}"
        return done.stderr

    def ends(self, *flags: str, do: str, **options: Any) -> tuple[int, str, str]:
        """The exit code, output and error output of a container that runs to its end."""
        done = self.daemon.docker("run", "--rm", *flags, "busybox", "sh", "-c", do, check=False, **options)
        return done.returncode, done.stdout, done.stderr

    def run(self, *flags: str, do: str, **options: Any) -> str:
        """The output, without white space around it, of a container that has to end well."""
        return self.docker("run", "--rm", *flags, "busybox", "sh", "-c", do, **options).strip()

    def up(self, *flags: str, do: str = "exec sleep 1000") -> str:
        """The name of a container in the background."""
        name = self.name()
        self.docker("run", "-d", "--name", name, *flags, "busybox", "sh", "-c", do)
        return name

    def made(self, *flags: str, do: str = "exec sleep 1000") -> str:
        """The name of a container that is not started."""
        name = self.name()
        self.docker("create", "--name", name, *flags, "busybox", "sh", "-c", do)
        return name

    def inside(self, name: str, do: str) -> str:
        """The output of a script in a running container."""
        return self.docker("exec", name, "sh", "-c", do).strip()

    def network(self, *flags: str) -> str:
        name = self.name("network")
        self.docker("network", "create", *flags, name)
        return name

    def volume(self, *flags: str) -> str:
        name = self.name("volume")
        self.docker("volume", "create", *flags, name)
        return name

    def inspect(self, name: str, *kind: str) -> Any:
        """The whole of what `docker inspect` knows."""
        return json.loads(self.docker(*kind, "inspect", name))[0]

    def shows(self, name: str, template: str) -> str:
        return self.docker("inspect", "--format", template, name).strip()

    def state(self, name: str) -> str:
        return self.shows(name, "{{.State.Status}}")

    def becomes(self, name: str, template: str, value: str, seconds: float = SECONDS) -> None:
        """Wait until the container shows the value."""
        until(lambda: self.shows(name, template) == value, seconds, f"{name}: {template} is {value}")

    def address(self, name: str, network: str = "bridge") -> str:
        return self.shows(name, f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}')

    def published(self, name: str, port: str) -> list[str]:
        """Host places of one port of a container."""
        return self.docker("port", name, port).split()

    def says(self, name: str, text: str, seconds: float = SECONDS) -> None:
        """Wait until the log holds the text."""
        until(lambda: text in self.log(name), seconds, f"{name} says {text!r}")

    def log(self, name: str) -> str:
        done = self.daemon.docker("logs", name)
        return done.stdout + done.stderr

    def events(self, *filters: str) -> list[str]:
        """The actions of all past events of this test that match, oldest first."""
        flags = [flag for text in filters for flag in ("--filter", text)]
        until_now = f"{time.time():.9f}"
        template = "{{.Action}}"
        return self.docker(
            "events", "--since", f"{self.since:.9f}", "--until", until_now, *flags, "--format", template
        ).splitlines()

    def environment(self) -> dict[str, str]:
        return {**surroundings(), "DOCKER_CONFIG": str(self.daemon.home / "client"), "DOCKER_HOST": self.daemon.url}

    @contextlib.contextmanager
    def client(self, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """The stock client as a process with pipes, ended at the end."""
        process = subprocess.Popen(
            [docker_program(), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def terminal(
        self, *arguments: str, rows: int = 33, columns: int = 111
    ) -> contextlib.AbstractContextManager[Terminal]:
        """The stock client on a terminal of its own."""
        return on_terminal([docker_program(), *arguments], self.environment(), rows=rows, columns=columns)

    def clean(self) -> None:
        """Remove what the test made and did not remove."""
        for kind, remove in (
            ("container", ("rm", "-fv")),
            ("network", ("network", "rm")),
            ("volume", ("volume", "rm", "-f")),
            ("image", ("image", "rm", "-f")),
        ):
            if self._made[kind]:
                self.daemon.docker(*remove, *self._made[kind], check=False, timeout=60)


class Wire:
    """A connection to the daemon's socket that says exactly what it is told to."""

    def __init__(self, daemon: Daemon) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(str(daemon.socket))

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> tuple[int, bytes]:
        """Status and body of one request on a connection that ends with it."""
        head = f"{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: {kind}\r\n"
        self.say(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head, body = self.rest().split(b"\r\n\r\n", 1)
        if b"chunked" in head.lower():
            body = b"".join(_chunks(body))
        return int(head.split()[1]), body

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


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, body = body.split(b"\r\n", 1)
        length = int(size, 16)
        yield body[:length]
        body = body[length + 2 :]
