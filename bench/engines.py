"""How each engine is started, in folders of its own. All of it happens inside a cell (see cell.py)."""

import contextlib
import os
import shutil
import signal
import socket
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
    offers = frozenset({"containers"})  # what can be measured on it: containers, builds, images, registry

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

    def build(self, context: Path, name: str) -> None:
        """Build the image `name` from a folder, through the engine's own client."""
        raise NotImplementedError

    def forget_builds(self, name: str) -> None:
        """Remove the image and all of the build cache."""
        raise NotImplementedError

    def push(self, name: str) -> None:
        raise NotImplementedError

    def pull(self, name: str) -> None:
        raise NotImplementedError

    def load(self, archive: Path) -> None:
        """Take an archive of an image (`docker save`) in, unpacked and ready for a container."""
        raise NotImplementedError

    def remove_image(self, name: str) -> None:
        raise NotImplementedError


def run(command: list[str], **environment: str) -> str:
    """Run a client; its output. Raises RuntimeError with what it said."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout)[-600:]}")
    return done.stdout


class Boxship(Engine):
    name = "boxship"
    offers = frozenset({"containers", "builds", "images", "registry"})
    registry = "127.0.0.1:5001"

    @classmethod
    def version(cls) -> str:
        return _first_line([str(Path(sys.executable).with_name("boxshipd")), "--version"])

    def command(self) -> list[str]:
        program = str(Path(sys.executable).with_name("boxshipd"))
        roots = ["--data-root", str(self.folder / "data"), "--run-root", str(self.folder / "run")]
        more = ["--registry", self.registry, "--log-level", "warning"]
        return [program, *roots, "--host", f"unix://{self.socket}", *more]

    def own(self, *words: str) -> None:
        run([str(Path(sys.executable).with_name("boxship")), "-H", f"unix://{self.socket}", *words])

    def build(self, context: Path, name: str) -> None:
        self.own("build", "--progress", "plain", "-t", name, str(context))

    def forget_builds(self, name: str) -> None:
        self.own("rmi", "-f", name)
        self.own("builder", "prune", "--all", "--force")

    def push(self, name: str) -> None:
        self.own("push", "-q", name)

    def pull(self, name: str) -> None:
        self.own("pull", "-q", name)

    def load(self, archive: Path) -> None:
        self.own("load", "-i", str(archive))

    def remove_image(self, name: str) -> None:
        self.own("rmi", "-f", name)


class Docker(Engine):
    name = "docker"
    offers = frozenset({"containers", "builds", "images"})
    client_program = "docker"
    buildkit = "0"

    @classmethod
    def version(cls) -> str:
        return _first_line(["dockerd", "--version"])

    def prepare(self) -> None:
        (self.folder / "none.json").write_text("{}")  # instead of the machine's own settings

    def command(self) -> list[str]:
        roots = ["--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")]
        files = ["--pidfile", str(self.folder / "daemon.pid"), "--config-file", str(self.folder / "none.json")]
        return ["dockerd", *roots, *files, "-H", f"unix://{self.socket}", "--log-level", "error"]

    def stock(self, *words: str) -> None:
        program = [self.client_program, "-H", f"unix://{self.socket}"]
        run([*program, *words], DOCKER_BUILDKIT=self.buildkit, DOCKER_CONFIG=str(self.folder / "client"))

    def build(self, context: Path, name: str) -> None:
        self.stock("build", "-t", name, str(context))

    def forget_builds(self, name: str) -> None:
        self.stock("rmi", "-f", name)
        self.stock("image", "prune", "-f")
        self.stock("builder", "prune", "-af")

    def push(self, name: str) -> None:
        self.stock("push", "-q", name)

    def pull(self, name: str) -> None:
        self.stock("pull", "-q", name)

    def load(self, archive: Path) -> None:
        self.stock("load", "-i", str(archive))

    def remove_image(self, name: str) -> None:
        self.stock("rmi", "-f", name)


class BuildKit(Docker):
    """The same daemon, with the client that Debian packages with it: the last one that carries BuildKit's own."""

    name = "buildkit"
    offers = frozenset({"builds"})
    client_program = "/usr/bin/docker"
    buildkit = "1"

    @classmethod
    def version(cls) -> str:
        return f"BuildKit in {Docker.version()}" if Docker.version() and _first_line([cls.client_program, "-v"]) else ""


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


class Buildah(Engine):
    """Builds and moves images without a daemon."""

    name = "buildah"
    offers = frozenset({"builds", "images"})

    @classmethod
    def version(cls) -> str:
        return _first_line(["buildah", "--version"])

    def prepare(self) -> None:
        if os.path.ismount("/sys/fs/cgroup/unified"):
            subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=True)
        (self.folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def start(self) -> float:
        return 0.0

    def load_image(self, tar: bytes) -> None:
        context = self.folder / "base"
        context.mkdir()
        (context / "image.tar").write_bytes(tar)
        (context / "Dockerfile").write_text('FROM scratch\nADD image.tar /\nENV PATH=/bin\nCMD ["sh"]\n')
        self.build(context, IMAGE)

    def own(self, verb: str, *words: str) -> None:
        roots = ["--root", str(self.folder / "data"), "--runroot", str(self.folder / "run")]
        run(["buildah", *roots, "--storage-driver", "overlay", verb, *words])

    def build(self, context: Path, name: str) -> None:
        policy = str(self.folder / "policy.json")
        self.own("build", "--layers", "--pull-never", "--signature-policy", policy, "-t", name, str(context))

    def forget_builds(self, name: str) -> None:
        self.own("rmi", "-f", name)
        self.own("rmi", "--prune", "-f")

    def push(self, name: str) -> None:
        policy = str(self.folder / "policy.json")
        self.own("push", "-q", "--tls-verify=false", "--signature-policy", policy, name, f"docker://{name}")

    def pull(self, name: str) -> None:
        self.own("pull", "-q", "--tls-verify=false", "--signature-policy", str(self.folder / "policy.json"), name)

    def load(self, archive: Path) -> None:
        source = f"docker-archive:{archive}"
        self.own("pull", "-q", "--signature-policy", str(self.folder / "policy.json"), source)

    def remove_image(self, name: str) -> None:
        self.own("rmi", "-f", name)


class Distribution(Engine):
    """Debian's docker-registry: a registry and nothing else."""

    name = "docker-registry"
    offers = frozenset({"registry"})
    registry = "127.0.0.1:5000"

    @classmethod
    def version(cls) -> str:
        return _first_line([registry_program(), "--version"])

    def prepare(self) -> None:
        (self.folder / "config.yml").write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.folder}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: {self.registry}}}\n"
        )

    def command(self) -> list[str]:
        return [registry_program(), "serve", str(self.folder / "config.yml")]

    def start(self) -> float:
        before = monotonic()
        with open(self.folder / "engine.log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        host, _, port = self.registry.partition(":")
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return monotonic() - before
            except OSError:
                if self.process.poll() is not None or monotonic() - before > START_SECONDS:
                    raise RuntimeError(f"{self.name} does not start") from None
                sleep(0.01)

    def load_image(self, tar: bytes) -> None:
        """It has no images of its own."""


def registry_program() -> str:
    """The machine's own, or the one that lies under build/."""
    unpacked = Path(__file__).parent.parent / "build" / "peers" / "usr" / "bin" / "docker-registry"
    return str(unpacked) if unpacked.exists() else "docker-registry"


ENGINES: dict[str, type[Engine]] = {
    engine.name: engine for engine in (Boxship, Docker, BuildKit, Podman, Buildah, Distribution)
}


def _first_line(command: list[str]) -> str:
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""
