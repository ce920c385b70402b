"""Instances of boxshipd for the fault tests: started by the launcher, killed and started again in place."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from faults_client import Client

from daemons import PATIENCE, busybox_tar, own_addresses, processes_naming, until

START_SECONDS = 30.0
END_SECONDS = 30.0


class Launcher:
    """The process that forks daemons."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("faults_launcher.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def launch(self, home: Path, arguments: list[str], settings: Mapping[str, float], namespace: int) -> int:
        """Fork a daemon; its pid."""
        assert self._process.stdin and self._process.stdout
        request: dict[str, Any] = {"home": str(home), "arguments": arguments, "settings": dict(settings)}
        request["namespace"] = namespace
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline())["pid"])

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


class Instance:
    """One data root and run root, and the daemon on them."""

    def __init__(self, launcher: Launcher, home: Path, *options: str, **settings: float) -> None:
        self.home = home
        self.data_root, self.run = home / "data", home / "run"
        self.data = self.data_root  # as this process sees it
        self.namespace = 0
        self.socket = home / "d.sock"
        self.log = home / "boxshipd.log"
        self.trace = home / "trace"
        self.client = Client(self.socket)
        self.pid = 0
        self._armed = home / "armed"
        self._launcher = launcher
        self._options = options
        self._settings = {name.replace("__", "."): value for name, value in settings.items()}

    @property
    def name(self) -> str:
        """What the tables and cgroups of this instance carry."""
        return (self.data / "instance").read_text().strip()

    def start(self, *, answers: bool = True) -> None:
        """Start the daemon; wait until it answers."""
        arguments = ["--data-root", str(self.data_root), "--run-root", str(self.run), "--host", f"unix://{self.socket}"]
        arguments += [*own_addresses(self._options), *self._options]
        self.pid = self._launcher.launch(self.home, arguments, self._settings, self.namespace)
        if answers:
            until(self._ready, START_SECONDS, f"boxshipd answers on {self.socket}")

    def _ready(self) -> bool:
        assert self.alive(), f"boxshipd ended:\n{self.log_end()}"
        return self.client.answers()

    def alive(self) -> bool:
        """Whether the daemon's process runs."""
        return self.pid != 0 and alive(self.pid)

    def log_end(self) -> str:
        """The last lines of the daemon's log."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def tasks(self) -> str:
        """Where the daemon's tasks are, for the report of a hang: it writes them to its log."""
        begun = self.log.stat().st_size
        os.kill(self.pid, signal.SIGUSR1)
        with contextlib.suppress(AssertionError):
            until(lambda: "end of tasks" in self.log.read_text(errors="replace")[begun:], 5, "the tasks are listed")
        return self.log.read_text(errors="replace")[begun:]

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.gone()

    def stop(self) -> None:
        """SIGTERM, as systemd does."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        self.gone()

    def gone(self) -> None:
        """Wait until the daemon's process has ended."""
        if self.pid:
            until(lambda: not alive(self.pid), END_SECONDS, f"boxshipd {self.pid} ends:\n{self.log_end()}")

    def restart(self) -> None:
        """kill -9 and start."""
        self.kill()
        self.start()

    def arm(self, number: int) -> None:
        """Let the daemon die at its N-th step from now on."""
        self.trace.unlink(missing_ok=True)
        staged = self.home / "armed.new"
        staged.write_text(str(number))
        staged.rename(self._armed)

    def disarm(self) -> list[str]:
        """No more; the steps that were taken since."""
        self._armed.unlink(missing_ok=True)
        return self.trace.read_text().splitlines() if self.trace.exists() else []

    def load_busybox(self, name: str = "busybox") -> None:
        """Import the busybox image."""
        self.client.call("POST", "/images/create", _BUSYBOX, fromSrc="-", repo=name, changes="ENV PATH=/bin")

    def remove_all(self) -> None:
        """Remove every container, volume, network and image."""
        for container in self.client.get("/containers/json", all=1):
            self.client.remove(container["Id"])
        self.client.post("/networks/prune")
        for volume in self.client.get("/volumes")["Volumes"] or ():
            self.client.delete(f"/volumes/{volume['Name']}")
        for image in self.client.get("/images/json"):
            self.client.delete(f"/images/{image['Id']}", force=1)

    def processes(self) -> list[int]:
        """Living processes that name this instance's folders; the daemon of the launcher is not among them."""
        return [pid for pid in processes_naming(str(self.home)) if alive(pid)]


_BUSYBOX = busybox_tar()


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not, unless other threads of it are still on their way out."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        threads = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X") or len(threads) > 1


@contextlib.contextmanager
def small_disk(made: Instance, size: str) -> "Iterator[Path]":
    """Put the data root of an instance that is not started yet on a disk of that size, which only its daemon sees; the
    disk's folder as this process reaches it."""
    made.data_root.mkdir()
    script = f"mount --make-rprivate / && mount -t tmpfs -o size={size},mode=711 small {made.data_root} && echo ready"
    command = ["unshare", "-m", "sh", "-c", f"{script} && exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdin
        try:
            assert holder.stdout.readline() == b"ready\n", "there is no small disk"
            made.namespace = holder.pid
            made.data = Path(f"/proc/{holder.pid}/root{made.data_root}")
            yield made.data
        finally:
            holder.stdin.close()


@contextlib.contextmanager
def instance(launcher: Launcher, *options: str, image: bool = True, **settings: float) -> "Iterator[Instance]":
    """A started instance; at the end everything of it is removed, whatever the test did."""
    with tempfile.TemporaryDirectory(prefix="bxf", ignore_cleanup_errors=True) as folder:
        made = Instance(launcher, Path(folder), *options, **settings)
        try:
            made.start()
            if image:
                made.load_busybox()
            yield made
        finally:
            finish(made)


def finish(made: Instance) -> None:
    """Leave nothing of an instance on the machine, also after a failed test."""
    made.disarm()
    with contextlib.suppress(Exception):
        if not made.alive():
            made.start()
        made.remove_all()
        made.stop()
    if made.alive():
        made.kill()
    for pid in made.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def eventually(check: Any, seconds: float, what: str) -> Any:
    """The check's first true result; AssertionError at the deadline, with the last exception's text."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        last: object = ""
        try:
            result = check()
            if result:
                return result
        except AssertionError as error:
            last = error
        assert time.monotonic() < deadline, f"not within {seconds * PATIENCE} s: {what}: {last}"
        time.sleep(0.02)
