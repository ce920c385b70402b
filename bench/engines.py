"""How each engine is started, in folders of its own. All of it happens inside a cell (see cell.py)."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from bench.client import IMAGE, Client, Refused

START_SECONDS = 60
MONITORS = ("conmon", "containerd-shim", "containerd-shim-runc-v2", "catatonit", "docker-proxy")


class Engine:
    """One engine with its folder. `command` is what starts its daemon."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = str(folder / "engine.sock")
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        """A line about the installed version, "" where the engine is not installed."""
        raise NotImplementedError

    def prepare(self) -> None:
        """What has to be done once in the cell."""

    def client(self) -> Client:
        return Client(self.socket)

    def start(self) -> float:
        """Start the daemon and wait for its first answer; the seconds that took."""
        before = monotonic()
        with open(self.folder / "engine.log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while True:
            try:
                self.client().ask("GET", "/_ping")
                return monotonic() - before
            except (OSError, Refused):
                if self.process.poll() is not None or monotonic() - before > START_SECONDS:
                    tail = (self.folder / "engine.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{self.name} does not start: {tail}") from None
                sleep(0.002)

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.kill()
            self.process.wait()
            self.process = None

    def load_image(self, tar: bytes) -> None:
        name, _, tag = IMAGE.partition(":")
        path = f"/images/create?fromSrc=-&repo={name}&tag={tag}&changes=CMD%20%5B%22sh%22%5D"
        self.client().ask("POST", path, data=tar, kind="application/x-tar")

    def processes(self) -> Iterator[tuple[int, str]]:
        """(pid, name) of the engine's own processes in this cell: not ours, not the containers'."""
        own_space = os.readlink("/proc/self/ns/pid")
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) in (1, os.getpid()):
                continue
            with contextlib.suppress(OSError):
                name = (entry / "comm").read_text().strip()
                if os.readlink(entry / "ns" / "pid") == own_space and name not in ("sleep", "unshare"):
                    yield int(entry.name), name

    def memory(self) -> tuple[float, float]:
        """PSS in MB: of the daemons, and of the monitors beside the containers."""
        daemons = monitors = 0.0
        for pid, name in self.processes():
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                size = next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
                if name.startswith(MONITORS) or name in MONITORS:
                    monitors += size
                else:
                    daemons += size
        return daemons, monitors


class Boxship(Engine):
    name = "boxship"

    @classmethod
    def version(cls) -> str:
        return _first_line([str(Path(sys.executable).with_name("boxshipd")), "--version"])

    def command(self) -> list[str]:
        program = str(Path(sys.executable).with_name("boxshipd"))
        roots = ["--data-root", str(self.folder / "data"), "--run-root", str(self.folder / "run")]
        return [program, *roots, "--host", f"unix://{self.socket}", "--log-level", "warning"]


class Docker(Engine):
    name = "docker"

    @classmethod
    def version(cls) -> str:
        return _first_line(["dockerd", "--version"])

    def prepare(self) -> None:
        (self.folder / "none.json").write_text("{}")  # instead of the machine's own settings

    def command(self) -> list[str]:
        roots = ["--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")]
        files = ["--pidfile", str(self.folder / "daemon.pid"), "--config-file", str(self.folder / "none.json")]
        return ["dockerd", *roots, *files, "-H", f"unix://{self.socket}", "--log-level", "error"]


class Podman(Engine):
    name = "podman"

    @classmethod
    def version(cls) -> str:
        return _first_line(["podman", "--version"])

    def prepare(self) -> None:
        # crun refuses a hybrid layout; in this mount namespace the v2 mount can go.
        if os.path.ismount("/sys/fs/cgroup/unified"):
            subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=True)

    def command(self) -> list[str]:
        roots = ["--root", str(self.folder / "data"), "--runroot", str(self.folder / "run")]
        more = ["--tmpdir", str(self.folder / "tmp"), "--network-config-dir", str(self.folder / "networks")]
        more += ["--cgroup-manager", "cgroupfs", "--events-backend", "file", "--storage-driver", "overlay"]
        return ["podman", *roots, *more, "system", "service", "--time", "0", f"unix://{self.socket}"]


ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (Boxship, Docker, Podman)}


def _first_line(command: list[str]) -> str:
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""
