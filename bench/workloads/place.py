"""Where it is measured: a network namespace with an uplink that leads nowhere, and one cluster in it, brought up by
`boxship cluster up` as a user would."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from boxship.transport.blocking import Address, Connection, TlsFiles

BIN = Path(sys.executable).parent
DEADLINE = 120.0  # seconds
TICKS = os.sysconf("SC_CLK_TCK")
PORT = 6443
UPLINK, ADDRESS, ROUTER = "uplink0", "10.199.0.2/24", "10.199.0.1"


@contextlib.contextmanager
def namespace() -> Iterator[str]:
    """A network namespace; nothing of it is left afterwards."""
    name = f"bench-{os.getpid()}"
    commands = (
        f"ip netns add {name}",
        f"ip -n {name} link set lo up",
        f"ip -n {name} link add {UPLINK} type bridge",
        f"ip -n {name} address add {ADDRESS} dev {UPLINK}",
        f"ip -n {name} link set {UPLINK} up",
        f"ip -n {name} route add default via {ROUTER}",
    )
    try:
        for command in commands:
            subprocess.run(command.split(), check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


class Cluster:
    """One cluster with roots under `home`; the process that uses this stands in its namespace."""

    def __init__(self, home: Path) -> None:
        self.data, self.run = home / "data", home / "run"
        self.kubeconfig = self.data / "control" / "admin.kubeconfig"
        self._roots = ("--data-root", str(self.data), "--run-root", str(self.run))

    @property
    def address(self) -> Address:
        pki = self.data / "control" / "pki"
        return Address(
            host="127.0.0.1",
            port=PORT,
            tls=TlsFiles(str(pki / "ca.crt"), str(pki / "admin.crt"), str(pki / "admin.key")),
        )

    @property
    def socket(self) -> str:
        return f"unix://{self.run / 'boxship.sock'}"

    def up(self) -> float:
        """Milliseconds until its node is ready."""
        begun = time.perf_counter()
        self.boxship("cluster", "up", *self._roots, "--wait")
        until(lambda: any(map(is_ready, self.items("/api/v1/nodes"))), "the node to be ready")
        return (time.perf_counter() - begun) * 1000

    def down(self) -> None:
        self.boxship("cluster", "down", *self._roots)

    def boxship(self, *words: str, **more: str) -> str:
        environment = {**os.environ, "BOXSHIP_HOST": self.socket, **more}
        done = subprocess.run(
            [str(BIN / "boxship"), *words], capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise RuntimeError(f"boxship {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def ask(self, method: str, path: str, body: object = None, *, kind: str = "application/json") -> dict[str, object]:
        """One request on a connection of its own. Raises RuntimeError for a refusal."""
        connection = Connection(self.address)
        try:
            data = b"" if body is None else json.dumps(body).encode()
            answer = connection.request(method, path, {"Content-Type": kind}, data)
            text = answer.read(1 << 30)
            if answer.status >= 400:
                raise RuntimeError(text[:500].decode())
            found: dict[str, object] = json.loads(text)
            return found
        finally:
            connection.close()

    def items(self, path: str) -> list[dict[str, object]]:
        found = self.ask("GET", path).get("items")
        assert isinstance(found, list)
        return found

    def processes(self) -> dict[str, list[int]]:
        """Process ids by the program's name: boxshipd, boxship-control, and all that runs below our roots."""
        found: dict[str, list[int]] = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if folder.name.isdecimal() and any(str(self.run) in word for word in words):
                    names = [Path(word).name for word in words[:2]]
                    name = next((each for each in names if not each.startswith("python")), names[0])
                    found.setdefault(name, []).append(int(folder.name))
        return found

    def memory(self) -> dict[str, float]:
        """Proportional set sizes in MB by program."""
        return {name: sum(map(_pss, pids)) for name, pids in self.processes().items()}

    def processor_seconds(self) -> float:
        """Of the two big processes so far."""
        found = self.processes()
        return sum(_ticks(pid) for name in ("boxshipd", "boxship-control") for pid in found.get(name, ())) / TICKS


def is_ready(object: dict[str, object]) -> bool:
    """Whether a node or a pod has the condition Ready."""
    status = object.get("status") or {}
    assert isinstance(status, dict)
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())


def _pss(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _ticks(pid: int) -> int:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0


def until(condition: object, what: str) -> None:
    """Wait for a condition. Raises RuntimeError."""
    assert callable(condition)
    deadline = time.monotonic() + DEADLINE
    while True:
        with contextlib.suppress(Exception):
            if condition():
                return
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {DEADLINE:g} s: {what}")
        time.sleep(0.01)
