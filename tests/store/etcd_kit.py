"""A real etcd for tests: Debian's, unpacked by tools/cluster-peers.sh, with its data where the test wants it."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from boxship.errors import Unavailable
from daemons import PROJECT, free_port, until

START_DEADLINE = 20.0  # seconds


def etcd_program(name: str = "etcd") -> str:
    """The machine's own, or the one under build/. Skips where there is none and none can be had."""
    for path in (PROJECT / "build" / "etcd" / name, shutil.which(name)):
        if path and os.access(path, os.X_OK):
            return str(path)
    release = Path("/etc/os-release")
    if release.exists() and "ID=debian\n" in release.read_text():
        pytest.fail(f"{name} is not there: tools/cluster-peers.sh unpacks it")
    pytest.skip(f"{name} is not there, and this machine is no Debian")


class Etcd:
    """One member (or one of several), on ports of its own."""

    def __init__(self, home: Path, *options: str, scheme: str = "http", name: str = "one") -> None:
        self.home = home
        self.name = name
        self.options = options
        self.url = f"{scheme}://127.0.0.1:{free_port()}"
        self.peer_url = f"http://127.0.0.1:{free_port()}"
        self.health_url = f"http://127.0.0.1:{free_port()}"
        self.cluster = f"{name}={self.peer_url}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"

    def launch(self) -> None:
        """Start it, and don't wait."""
        arguments = {
            "--name": self.name,
            "--data-dir": str(self.home / self.name),
            "--listen-client-urls": self.url,
            "--advertise-client-urls": self.url,
            "--listen-peer-urls": self.peer_url,
            "--initial-advertise-peer-urls": self.peer_url,
            "--listen-metrics-urls": self.health_url,
            "--initial-cluster": self.cluster,
            "--heartbeat-interval": "20",  # milliseconds, so that it is there again soon after a kill
            "--election-timeout": "200",
            "--logger": "zap",
        }
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [etcd_program(), *(part for pair in arguments.items() for part in pair), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        self.launch()
        until(self.healthy, START_DEADLINE, lambda: f"etcd is healthy:\n{self.log.read_text()[-2000:]}")

    def healthy(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{self.health_url}/health", timeout=5) as page:
                return b'"true"' in page.read()
        except (OSError, urllib.error.URLError):
            return False

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def freeze(self) -> None:
        """Stop it until SIGCONT; a signal takes its time to reach all threads."""
        self.signal(signal.SIGSTOP)
        assert self.process is not None
        threads = Path(f"/proc/{self.process.pid}/task")

        def stands() -> bool:
            return all(
                (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in threads.iterdir()
            )

        until(stands, 10.0, "etcd stands still")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def control(self, *arguments: str) -> str:
        """etcdctl against this member."""
        done = subprocess.run(
            [etcd_program("etcdctl"), "--endpoints", self.url, *arguments],
            capture_output=True,
            timeout=30,
            check=True,
            env={**os.environ, "ETCDCTL_API": "3"},
        )
        return done.stdout.decode(errors="replace")

    def empty(self) -> None:
        """Take every key away, and the history."""
        self.control("del", "", "--prefix")


@contextlib.contextmanager
def running_etcd(home: Path, *options: str) -> Iterator[Etcd]:
    etcd = Etcd(home, *options)
    etcd.start()
    try:
        yield etcd
    finally:
        etcd.stop()


class Gate:
    """A way to a member that can be cut, so that the member lives on while a store is away from it."""

    def __init__(self, etcd: Etcd) -> None:
        self._target = int(etcd.url.rsplit(":", 1)[1])
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Refuse connections and end those that are open."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server = None

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):  # by `cut` alone
            await self._join(reader, writer)
        self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, away = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, away))
                group.create_task(_copy(there, writer))
        finally:
            writer.close()
            away.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.close()


async def eventually(condition: Callable[[], Awaitable[object]], seconds: float = 15) -> None:
    """Wait in this loop until the condition holds; what is Unavailable does not."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(Unavailable):
                if await condition():
                    return
            await asyncio.sleep(0.02)
