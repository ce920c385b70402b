"""What the kills of Compose clients need: a gate between client and daemon that acts at exactly one request, and what
is compared afterwards.

The gate counts the requests that change something. At the chosen one it does what it is told: before the request gets
through, as soon as it got through, or when it was answered.
"""

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from docker import DockerClient

from compose_kit import LABEL, Program, Project, end_all, label, number
from daemons import Daemon

BEFORE, SENT, AFTER = "before", "sent", "after"
MOMENTS = (BEFORE, SENT, AFTER)
CHANGE = re.compile(rb"(POST|PUT|DELETE) (/v[0-9.]+)?(/[^ ?]*)[^ ]* HTTP/1\.1\r\n")
FOREIGN = re.compile(rb"/(boxship/locks|exec|events|build/prune)")  # these change nothing of a project
HEX = re.compile(r"[0-9a-f]{64}|[0-9a-f]{12}")


class Gate:
    """A socket in front of a daemon. `act` runs once, when request number `point` (from 0) that changes something is at
    the `moment`."""

    def __init__(self, target: Path, path: Path) -> None:
        self.target, self.path = target, path
        self.url = f"unix://{path}"
        self.seen: list[str] = []
        self.acted = ""
        self._point, self._moment, self._act = -1, "", lambda: None
        self._lock = threading.Lock()
        path.unlink(missing_ok=True)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.path.unlink(missing_ok=True)

    def arm(self, point: int, moment: str, act: Callable[[], None]) -> None:
        with self._lock:
            self.seen, self.acted = [], ""
            self._point, self._moment, self._act = point, moment, act

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._connection, args=(client,), daemon=True).start()

    def _connection(self, client: socket.socket) -> None:
        engine = socket.socket(socket.AF_UNIX)
        try:
            engine.connect(str(self.target))
        except OSError:
            client.close()
            return
        answered: list[str] = []  # requests whose answer the chosen moment waits for
        threading.Thread(target=self._answers, args=(engine, client, answered), daemon=True).start()
        try:
            while data := client.recv(65536):
                name = self._counted(data)
                if name and self._moment == BEFORE:
                    self._do(name)
                    _end(engine)
                    return
                if name and self._moment == AFTER:
                    answered.append(name)
                engine.sendall(data)
                if name and self._moment == SENT:
                    self._do(name)
            engine.shutdown(socket.SHUT_RDWR if is_gone(client) else socket.SHUT_WR)
        except OSError:
            _end(engine)

    def _answers(self, engine: socket.socket, client: socket.socket, answered: list[str]) -> None:
        try:
            while data := engine.recv(65536):
                if answered:
                    self._do(answered.pop())
                client.sendall(data)
        except OSError:
            pass
        finally:
            _end(client)
            engine.close()

    def _counted(self, data: bytes) -> str:
        """The request that begins here, if it is the chosen one."""
        found = CHANGE.match(data)
        if not found or FOREIGN.match(found[3]):
            return ""
        name = f"{found[1].decode()} {HEX.sub('ID', found[3].decode())}"
        with self._lock:
            self.seen.append(name)
            return name if len(self.seen) - 1 == self._point else ""

    def _do(self, name: str) -> None:
        self.acted = f"{self._moment} {name}"
        self._act()


class Victim(Project):
    """A project whose client is killed: it speaks through the gate, everything else to the daemon itself."""

    def __init__(self, daemon: Daemon, client: DockerClient, folder: Path, name: str) -> None:
        super().__init__(Program("boxship"), daemon, client, folder, name)
        self.gate = Gate(daemon.socket, daemon.home / f"{name}.sock")

    def command(self, *words: str) -> list[str]:
        """The command line, through the gate."""
        return [str(Path(sys.executable).parent / "boxship"), "--host", self.gate.url, "compose", *words]

    @contextlib.contextmanager
    def begun(self, *words: str, env: dict[str, str] | None = None) -> "Iterator[subprocess.Popen[str]]":
        process = subprocess.Popen(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environment, **(env or {})},
            cwd=self.folder,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            end_all(process)

    def counted(self, *words: str) -> tuple[int, int]:
        """Run to the end; how many requests changed something, and the exit code."""
        self.gate.arm(-1, "", lambda: None)
        with self.begun(*words) as process:
            process.communicate(timeout=60)
            return len(self.gate.seen), process.returncode

    def killed(self, point: int, moment: str, *words: str) -> str:
        """Run and kill the client at that point; what the point was, "" when it ended before."""
        with self.begun(*words) as process:
            self.gate.arm(point, moment, lambda: os.kill(process.pid, signal.SIGKILL))
            process.communicate(timeout=60)
            return self.gate.acted

    def wipe(self) -> None:
        """Away with all that the engine has of the project, and with volumes that nothing uses."""
        label = {"label": f"{LABEL}.project={self.name}"}
        for entry in self.client.api.containers(all=True, filters=label):
            self.client.api.remove_container(entry["Id"], v=True, force=True)
        for name in self.networks():
            self.client.api.remove_network(name)
        for name in self.volumes():
            self.client.api.remove_volume(name, force=True)
        self.client.api.prune_volumes()

    def clean(self) -> None:
        self.gate.close()
        super().clean()

    # what is compared

    def state(self) -> dict[str, Any]:
        """All that the engine has under the project's name, without what differs between two undisturbed runs."""
        one_off = [("one-off", entry["Name"]) for entry in self.containers(one_off=True)]
        return {
            "containers": [shape(entry) for entry in self.containers()],
            "one-offs": one_off,
            "networks": {
                name: {"labels": entry["Labels"], "driver": entry["Driver"], "inside": sorted(inside(entry))}
                for name, entry in self.networks().items()
            },
            "volumes": {name: entry["Labels"] for name, entry in self.volumes().items()},
            "unused": len(self.client.api.volumes(filters={"dangling": True})["Volumes"] or []),
        }


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def is_gone(client: socket.socket) -> bool:
    """Whether the other end is closed, not only for what it would write."""
    poll = select.poll()
    poll.register(client, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def inside(network: dict[str, Any]) -> Iterator[str]:
    return (entry["Name"] for entry in (network.get("Containers") or {}).values())


def shape(entry: dict[str, Any]) -> dict[str, Any]:
    """A container, without ids, times and addresses."""
    labels = {name: text for name, text in entry["Config"]["Labels"].items() if name != f"{LABEL}.replace"}
    host = entry["HostConfig"]
    return {
        "name": entry["Name"],
        "service": label(entry, "service"),
        "number": number(entry),
        "status": entry["State"]["Status"],
        "labels": labels,
        "environment": sorted(entry["Config"]["Env"] or []),
        "command": entry["Config"]["Cmd"],
        "image": entry["Image"],
        "networks": {
            name: sorted(HEX.sub("ID", alias) for alias in network.get("Aliases") or [])
            for name, network in entry["NetworkSettings"]["Networks"].items()
        },
        "mounts": sorted(
            (mount["Type"], HEX.sub("ID", mount.get("Name", "")), mount["Destination"]) for mount in entry["Mounts"]
        ),
        "ports": host.get("PortBindings"),
        "restart": host.get("RestartPolicy"),
    }
