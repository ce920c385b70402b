"""What is measured: a boxship-control with roots of its own, and an etcd beside it where its state lies there."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from boxship.transport.blocking import Address, Connection, TlsFiles

PROJECT = Path(__file__).parents[2]
ETCD = PROJECT / "build" / "etcd" / "etcd"
DEADLINE = 30.0  # seconds
TICKS = os.sysconf("SC_CLK_TCK")


class Plane:
    """One running control plane."""

    def __init__(self, home: Path, port: int, store: str = "") -> None:
        self.home = home
        self.port = port
        self.store = store
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> Address:
        pki = self.home / "data" / "pki"
        return Address(
            host="127.0.0.1",
            port=self.port,
            tls=TlsFiles(str(pki / "ca.crt"), str(pki / "admin.crt"), str(pki / "admin.key")),
        )

    def start(self) -> float:
        """Start it; milliseconds until it is ready."""
        program = str(Path(sys.executable).with_name("boxship-control"))
        command = [program, "--data-root", str(self.home / "data"), "--run-root", str(self.home / "run")]
        command += ["--listen", f"127.0.0.1:{self.port}", *(["--store", self.store] if self.store else [])]
        begun = time.perf_counter()
        log = (self.home / "log").open("ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        until(self.ready, "boxship-control")
        return (time.perf_counter() - begun) * 1000

    def ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError((self.home / "log").read_text()[-2000:])
        try:
            return self.ask("GET", "/readyz") == b"ok"
        except Exception:
            return False

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """One request on a connection of its own. Raises RuntimeError for a refusal."""
        connection = Connection(self.address)
        try:
            data = b"" if body is None else json.dumps(body).encode()
            answer = connection.request(method, path, {"Content-Type": "application/json"}, data)
            text = answer.read(1 << 30)
            if answer.status >= 400:
                raise RuntimeError(text[:500].decode())
            return text
        finally:
            connection.close()

    def memory(self) -> float:
        """Proportional set size in MB."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def processor_seconds(self) -> float:
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(DEADLINE)
            self.process = None


def until(condition: object, what: str) -> None:
    """Wait for a condition."""
    assert callable(condition)
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not ready within {DEADLINE:g} s")
        time.sleep(0.005)


def free_port() -> int:
    import socket

    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


@contextlib.contextmanager
def etcd(home: Path) -> Iterator[str]:
    """A real etcd; the address of its clients."""
    clients, peers = free_port(), free_port()
    url, peer = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
    command = [str(ETCD), "--data-dir", str(home / "etcd"), "--log-level", "error", "--name", "bench"]
    command += ["--listen-client-urls", url, "--advertise-client-urls", url]
    command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"bench={peer}"]
    log = (home / "etcd.log").open("ab")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    log.close()

    def answers() -> bool:
        try:
            connection = Connection(Address(host="127.0.0.1", port=clients))
            try:
                return b'"true"' in connection.request("GET", "/health").read()
            finally:
                connection.close()
        except Exception:
            return False

    try:
        until(answers, "etcd")
        yield url
    finally:
        process.terminate()
        process.wait(DEADLINE)
