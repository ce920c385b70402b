"""A real boxshipd for tests: own roots, own socket, the stock client, and a check that nothing is left behind."""

import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

PROJECT = Path(__file__).parent.parent
START_DEADLINE = 20.0  # seconds
STOP_DEADLINE = 20.0
PATIENCE = 3  # deadlines are those of a quiet machine; one that has other work may take as many times as long
APPLETS_LIMIT = 500


def until(condition: Callable[[], object], seconds: float, what: str | Callable[[], str]) -> None:
    """Wait until the condition holds; fail naming `what`, asked then if it is a function, at the deadline."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, (
            f"not within {seconds * PATIENCE} s: {what if isinstance(what, str) else what()}"
        )
        time.sleep(0.02)


def answers(address: str) -> bool:
    """Whether a page is there. A container that has started may not listen yet."""
    try:
        with urllib.request.urlopen(f"http://{address}", timeout=5) as page:
            return bool(page.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """A port of loopback that nobody has at this moment."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


def surroundings() -> dict[str, str]:
    """Our environment. pytest names the test at work in it, so for a test's threads it may change while it is read."""
    while True:
        with contextlib.suppress(KeyError, RuntimeError):
            return dict(os.environ)


def docker_program() -> str:
    """The stock client: the machine's own, or the one that `make setup` unpacked under build/."""
    for path in (PROJECT / "build" / "docker" / "usr" / "bin" / "docker", shutil.which("docker")):
        if path and os.access(path, os.X_OK):
            return str(path)
    raise FileNotFoundError("docker: run `make setup` to install the stock client")


def kubectl_program() -> str:
    """The stock client: the machine's own, or the newest that `make test` unpacked under build/kubectl/VERSION/."""
    own = shutil.which("kubectl")
    if own is not None:
        return own
    unpacked = (PROJECT / "build" / "kubectl").glob("*/kubectl")
    newest = max(unpacked, key=lambda path: [int(part) for part in re.findall(r"\d+", path.parent.name)], default=None)
    if newest is None:
        raise FileNotFoundError("kubectl: run `make test` (tools/cluster-peers.sh) to unpack the stock client")
    return str(newest)


def own_addresses(options: Sequence[str]) -> tuple[str, ...]:
    """The option by which a daemon of this process takes other networks than those of a process beside it: two that
    look for free ones at the same moment would find the same. The first process has the pools that users have."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    given = number == 0 or "--address-pool" in options
    return () if given else ("--address-pool", f"10.{150 + number}.0.0/16:24")


def busybox_tar() -> bytes:
    """A root filesystem of busybox-static with a link for every applet."""
    buffer = io.BytesIO()
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("www", 0o755)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        tar.add("/bin/busybox", "bin/busybox")
        for applet in applets[:APPLETS_LIMIT]:
            if applet != "busybox":
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
        texts = {
            "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/tmp:/bin/sh\n",
            "etc/group": "root:x:0:\nweb:x:1000:\nstaff:x:50:web\n",
            "www/index.html": "hello from boxship\n",
        }
        for name, text in texts.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


class Daemon:
    """One instance of boxshipd with roots under `home`."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.data, self.run = home / "data", home / "run"
        self.socket = home / "d.sock"
        self.url = f"unix://{self.socket}"
        self.log = home / "boxshipd.log"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        program = Path(sys.executable).parent / "boxshipd"
        arguments = [str(program), "--data-root", str(self.data), "--run-root", str(self.run), "--host", self.url]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*arguments, *own_addresses(self.options), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers, START_DEADLINE, f"boxshipd answers; its log:\n{self.log.read_text()[-2000:]}")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"boxshipd ended:\n{self.log.read_text()[-4000:]}"
        return self.socket.exists() and self.docker("version", check=False).returncode == 0

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ask the daemon to end, as systemd would."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        self.process.wait(STOP_DEADLINE)

    def environment(self) -> dict[str, str]:
        """What both clients are given: credentials of their own, and the builder that the socket has a door for."""
        return {**surroundings(), "DOCKER_CONFIG": str(self.home / "client"), "DOCKER_BUILDKIT": "0"}

    def docker(
        self, *arguments: str, check: bool = True, data: bytes | None = None, timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Run the stock client against this daemon."""
        done = subprocess.run(
            [docker_program(), "-H", self.url, *arguments],
            input=data,
            capture_output=True,
            timeout=timeout,
            env=self.environment(),
            check=False,
        )
        result = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        assert not check or result.returncode == 0, f"docker {' '.join(arguments)}: {result.stderr}{result.stdout}"
        return result

    def boxship(
        self, *arguments: str, check: bool = True, data: bytes | None = None, timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Run our own client against this daemon."""
        program = Path(sys.executable).parent / "boxship"
        done = subprocess.run(
            [str(program), "--host", self.url, *arguments],
            input=data,
            capture_output=True,
            timeout=timeout,
            env=self.environment(),
            check=False,
        )
        result = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        assert not check or result.returncode == 0, f"boxship {' '.join(arguments)}: {result.stderr}{result.stdout}"
        return result

    def load_busybox(self, name: str = "busybox:latest") -> None:
        """Import the busybox image."""
        changes = ["--change", 'CMD ["sh"]', "--change", "ENV PATH=/bin"]
        self.docker("import", *changes, "-", name, data=busybox_tar())

    def clear(self) -> None:
        """Remove everything, also where the daemon was killed."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        self.remove_all()

    def remove_all(self) -> None:
        """Remove every container, volume and network of this instance."""
        names = self.docker("ps", "-aq").stdout.split()
        if names:
            self.docker("rm", "-fv", *names, timeout=180)
        volumes = self.docker("volume", "ls", "-q").stdout.split()
        if volumes:
            self.docker("volume", "rm", "-f", *volumes)
        self.docker("network", "prune", "-f")

    def conmons(self) -> list[int]:
        """Pids of the monitors that belong to this instance."""
        return processes_naming(str(self.home))

    def instance(self) -> str:
        """The name that this instance's tables and cgroups carry."""
        return (self.data / "instance").read_text().strip()


def processes_naming(text: str) -> list[int]:
    """Pids of other processes whose command line names the text."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal() and int(path.name) != os.getpid():
            with contextlib.suppress(OSError):
                if text.encode() in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
    return found


@contextlib.contextmanager
def running_daemon(home: Path, *options: str, image: bool = True) -> Iterator[Daemon]:
    """A started daemon with busybox; at the end everything is removed, and what is left behind fails the test."""
    daemon = Daemon(home, *options)
    daemon.start()
    try:
        if image:
            daemon.load_busybox()
        yield daemon
        daemon.clear()
    except BaseException:
        with contextlib.suppress(AssertionError, OSError, subprocess.SubprocessError):
            daemon.clear()  # what failed must not be in the way of others, nor of its second chance
        raise
    finally:
        daemon.stop()
        for pid in processes_naming(str(home)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
