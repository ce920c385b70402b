"""Control groups of all three kinds of host: v1, hybrid and v2. Plain files, one function per deed.

A cgroup is named by its path below the hierarchies, as in config.json's `cgroupsPath` ("/boxship-a1/<id>"); on v1 that
path exists once in every controller's own tree. Nothing here mounts anything, and nothing acts outside the path given.

Two costs are worth knowing (kernel 6.18, two cores):
- A write to cgroup.procs waits for an RCU grace period, 8 to 16 ms, if none came within the last 10 ms or so; after
  that it takes 0.05 ms. Every start of a container and every exec writes there. `Warmth` spends the wait before it is
  needed, beside other work.
- Freezing and thawing take less than 0.1 ms.
"""

import contextlib
import enum
import glob
import os
import signal
import threading
import time
from collections.abc import Iterator

import msgspec

from boxship.errors import Internal, NotFound, Timeout

ROOT = "/sys/fs/cgroup"
FREEZE_SECONDS = 5.0
EMPTY_SECONDS = 10.0
PAUSE_SECONDS = 0.002


class Version(enum.StrEnum):
    """Which kind of hierarchy the host has."""

    V1 = "v1"
    HYBRID = "hybrid"
    V2 = "v2"


class Layout(msgspec.Struct, frozen=True):
    """Where the controllers are. On v2 every controller has the same mount point; `unified` is the v2 mount of a
    hybrid host, or a folder that is left of it in a mount namespace in which it was unmounted."""

    version: Version
    root: str
    controllers: dict[str, str]  # name → mount point
    unified: str = ""
    swap: bool = True  # memory and swap can be limited together
    weight: bool = True  # block devices can be shared by weight

    @property
    def is_v2(self) -> bool:
        return self.version is Version.V2


def detect(root: str = ROOT) -> Layout:
    """Look at a cgroup mount. Only files are read, so a fake tree does for tests."""
    with contextlib.suppress(FileNotFoundError), open(f"{root}/cgroup.controllers") as file:
        controllers = dict.fromkeys(file.read().split(), root)
        # Weights are in no root cgroup. Where no other one has the io controller yet, a file of the root tells.
        weight = _has(f"{root}/*", "io.weight", "io.bfq.weight") or _has(root, "io.cost.qos")
        return Layout(Version.V2, root, controllers, root, weight=weight)
    controllers = {}
    unified, version = "", Version.V1
    try:
        names = sorted(os.listdir(root))
    except OSError as error:
        raise Internal(f"cannot read {root}: {error.strerror}") from error
    for name in names:
        folder = f"{root}/{name}"
        if name == "unified":
            unified = folder
            if os.path.exists(f"{folder}/cgroup.controllers"):
                version = Version.HYBRID
        elif os.path.exists(f"{folder}/cgroup.procs") and not os.path.islink(folder):
            controllers.update(dict.fromkeys(name.split(","), folder))
    if not controllers:
        raise Internal(f"cannot use {root}: no cgroup controllers are mounted there")
    return Layout(
        version,
        root,
        controllers,
        unified,
        swap=_has(controllers.get("memory", ""), "memory.memsw.limit_in_bytes"),
        weight=_has(controllers.get("blkio", ""), "blkio.weight"),  # BFQ's own files the runtimes don't know
    )


def _has(folder: str, *patterns: str) -> bool:
    return any(glob.glob(f"{folder}/{pattern}") for pattern in patterns)


def folders(layout: Layout, path: str) -> list[str]:
    """The folders of a cgroup, one for each hierarchy, whether they exist or not."""
    mounts = list(dict.fromkeys(layout.controllers.values()))
    if layout.version is Version.HYBRID:
        mounts.append(layout.unified)
    return [f"{mount}/{path.strip('/')}" for mount in mounts] if mounts else [f"{layout.root}/{path.strip('/')}"]


def file_of(layout: Layout, controller: str, path: str, name: str) -> str:
    """The path of a control file; NotFound where the host lacks the controller. `cgroup` names the core files."""
    if controller == "cgroup":
        return f"{folders(layout, path)[0]}/{name}"
    mount = layout.controllers.get(controller)
    if mount is None:
        raise NotFound(f"cannot use cgroup controller {controller}: the host does not have it")
    return f"{mount}/{path.strip('/')}/{name}"


def read(layout: Layout, controller: str, path: str, name: str) -> str:
    """A control file's text; "" where the file or the controller does not exist, or reading it is not supported."""
    with contextlib.suppress(NotFound, OSError):
        descriptor = os.open(file_of(layout, controller, path, name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = b""
            while chunk := os.read(descriptor, 65536):
                text += chunk
            return text.decode()
        finally:
            os.close(descriptor)
    return ""


def write(layout: Layout, controller: str, path: str, name: str, value: str) -> None:
    """Write a control file. Raises OSError as the kernel gives it: what it means depends on the file."""
    descriptor = os.open(file_of(layout, controller, path, name), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _freezer(layout: Layout) -> tuple[str, str, str, str]:
    """Controller, control file, and the words for frozen and thawed."""
    if layout.version is Version.V2:
        return "cgroup", "cgroup.freeze", "1", "0"
    return "freezer", "freezer.state", "FROZEN", "THAWED"


def is_frozen(layout: Layout, path: str) -> bool:
    """Whether every process of the cgroup stands still."""
    if layout.version is Version.V2:
        return "frozen 1" in read(layout, "cgroup", path, "cgroup.events")
    return read(layout, "freezer", path, "freezer.state").strip() == "FROZEN"


def freeze(layout: Layout, path: str) -> None:
    """Stop every process of the cgroup and wait until they stand. Usually within 0.1 ms."""
    controller, name, frozen, thawed = _freezer(layout)
    end = time.monotonic() + FREEZE_SECONDS
    try:
        write(layout, controller, path, name, frozen)
        while not is_frozen(layout, path):
            if time.monotonic() > end:
                write(layout, controller, path, name, thawed)
                raise Timeout(f"cannot freeze cgroup {path}: processes did not stop within {FREEZE_SECONDS:g} s")
            time.sleep(PAUSE_SECONDS)
            if layout.version is not Version.V2:
                write(layout, controller, path, name, frozen)  # v1 may have missed a process that was just forked
    except OSError as error:
        raise Internal(f"cannot freeze cgroup {path}: {error.strerror}") from error


def thaw(layout: Layout, path: str) -> None:
    """Let the processes go on. A cgroup that is gone is fine."""
    controller, name, _, thawed = _freezer(layout)
    with contextlib.suppress(FileNotFoundError, NotFound):
        try:
            write(layout, controller, path, name, thawed)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Internal(f"cannot thaw cgroup {path}: {error.strerror}") from error


def _below(folder: str) -> Iterator[str]:
    """The folder and every cgroup below it, deepest first."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)
    yield folder


def _pids_in(folder: str) -> set[int]:
    found: set[int] = set()
    for each in _below(folder):
        with contextlib.suppress(OSError), open(f"{each}/cgroup.procs") as file:
            found.update(int(line) for line in file if line.strip() != "0")
    return found


def pids(layout: Layout, path: str) -> list[int]:
    """Processes of the cgroup and of those below it, in order. Zombies whose parent has not reaped them count on v1."""
    found: set[int] = set()
    for folder in _first_and_last(layout, path):
        found |= _pids_in(folder)
    return sorted(found)


def _first_and_last(layout: Layout, path: str) -> list[str]:
    """A process enters the v1 hierarchies one after the other, whatever their order: one of these two sees it."""
    found = folders(layout, path)
    return found[:1] if len(found) == 1 else [found[0], found[-1]]


def create(layout: Layout, path: str) -> None:
    """Make a cgroup with those above it, in every hierarchy, ready to have others with limits below it. One that is
    there is fine. Raises Internal where the kernel does not want it."""
    try:
        for mount, folder in zip(_mounts(layout), folders(layout, path), strict=True):
            parent = mount
            for name in folder.removeprefix(mount).strip("/").split("/"):
                if layout.is_v2:
                    _enable_below(layout, parent)
                parent = f"{parent}/{name}"
                with contextlib.suppress(FileExistsError):
                    os.mkdir(parent, 0o755)
                if mount == layout.controllers.get("cpuset") and not layout.is_v2:
                    _take_cpuset(parent)
            if layout.is_v2:
                _enable_below(layout, parent)
    except OSError as error:
        raise Internal(f"cannot create cgroup {path}: {error.strerror}") from error


def _mounts(layout: Layout) -> list[str]:
    """One for each of `folders`."""
    return [folder.removesuffix("/") for folder in folders(layout, "")]


def _enable_below(layout: Layout, folder: str) -> None:
    """v2: let the cgroups below have limits of every controller that this one has."""
    with open(f"{folder}/cgroup.controllers") as file:
        wanted = set(file.read().split())
    with open(f"{folder}/cgroup.subtree_control") as file:
        wanted -= set(file.read().split())
    for name in sorted(wanted):
        with (
            contextlib.suppress(OSError),
            open(f"{folder}/cgroup.subtree_control", "w") as file,
        ):  # busy, or not allowed
            file.write(f"+{name}")


def _take_cpuset(folder: str) -> None:
    """v1: a cpuset begins with no processors at all, and no process may enter it then."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        with open(f"{folder}/{name}") as file:
            if file.read().strip():
                continue
        with open(f"{os.path.dirname(folder)}/{name}") as above, open(f"{folder}/{name}", "w") as file:
            file.write(above.read())


def exists(layout: Layout, path: str) -> bool:
    """Whether any hierarchy has the cgroup."""
    return any(os.path.isdir(folder) for folder in folders(layout, path))


def kill(layout: Layout, path: str) -> None:
    """Kill every process of the cgroup and of those below it, frozen ones too, and wait until they are gone.

    Blocks, usually for less than 1 ms; at most EMPTY_SECONDS, then raises Timeout. A missing cgroup is fine.
    """
    end = time.monotonic() + EMPTY_SECONDS
    quick = True
    while any(not _is_zombie(pid) for pid in pids(layout, path)):
        _kill_once(layout, path, hold=not quick)
        if quick:  # most are gone at once
            quick = False
            continue
        if time.monotonic() > end:
            raise Timeout(f"cannot kill cgroup {path}: its processes did not end within {EMPTY_SECONDS:g} s")
        time.sleep(PAUSE_SECONDS)


def _kill_once(layout: Layout, path: str, *, hold: bool) -> None:
    """SIGKILL to all. `hold` freezes them meanwhile, so that none can fork; a frozen v1 process dies when thawed."""
    if layout.is_v2 and os.path.exists(f"{folders(layout, path)[0]}/cgroup.kill"):
        with contextlib.suppress(OSError):
            write(layout, "cgroup", path, "cgroup.kill", "1")
        return
    controller, name, frozen, _ = _freezer(layout)
    if hold:
        with contextlib.suppress(OSError, NotFound):
            write(layout, controller, path, name, frozen)
    for pid in pids(layout, path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(Internal):
        thaw(layout, path)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return text[text.rindex(b")") + 2 : text.rindex(b")") + 3] in (b"Z", b"X")


def remove(layout: Layout, path: str) -> None:
    """Take the empty cgroup away with those below it, in every hierarchy. A missing one is fine.

    Waits for processes that are just ending, at most EMPTY_SECONDS; then raises Timeout.
    """
    end = time.monotonic() + EMPTY_SECONDS
    for folder in folders(layout, path):
        for each in _below(folder):
            while True:
                try:
                    os.rmdir(each)
                except FileNotFoundError:
                    break
                except OSError as error:
                    if time.monotonic() > end:
                        raise Timeout(f"cannot remove cgroup {each}: {error.strerror}") from error
                    time.sleep(PAUSE_SECONDS)
                else:
                    break
    if layout.version is Version.V1 and layout.unified:
        _remove_plain(f"{layout.unified}/{path.strip('/')}")


def remove_empty(layout: Layout, path: str) -> bool:
    """Take the cgroup away in every hierarchy where it is empty, without waiting. Whether it is gone from all."""
    plain = [f"{layout.unified}/{path.strip('/')}"] if layout.version is Version.V1 and layout.unified else []
    for folder in (*folders(layout, path), *plain):
        with contextlib.suppress(OSError):  # in use, or not there
            os.rmdir(folder)
    return not exists(layout, path)


def _remove_plain(folder: str) -> None:
    """crun writes to the folder `unified` even where no v2 hierarchy is mounted on it: an ordinary folder then."""
    for each in _below(folder):
        with contextlib.suppress(OSError):
            os.unlink(f"{each}/cgroup.procs")
        with contextlib.suppress(OSError):
            os.rmdir(each)
    parent = os.path.dirname(folder)
    with contextlib.suppress(OSError):  # still used by others, or not there
        os.rmdir(parent)


class Warmth:
    """Keeps writes to cgroup.procs fast for a short time (see the module's text). `seek` returns at once."""

    HOLD_SECONDS = 0.25  # how long one call lasts
    PERIOD_SECONDS = 0.006  # below the 10 ms after which the kernel goes cold

    def __init__(self, layout: Layout) -> None:
        self._path = _own_procs(layout)
        self._until = 0.0
        self._lock = threading.Lock()
        self._running = False

    def seek(self) -> None:
        """Ask for fast writes from now on, or a little later if the kernel is cold."""
        with self._lock:
            self._until = time.monotonic() + self.HOLD_SECONDS
            if self._running or not self._path:
                return
            self._running = True
        threading.Thread(target=self._hold, name="cgroup-warmth", daemon=True).start()

    def _hold(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(descriptor, b"0")  # ourselves, to where we are: changes nothing, but takes the lock
                finally:
                    os.close(descriptor)
            with self._lock:
                if time.monotonic() > self._until:
                    self._running = False
                    return
            time.sleep(self.PERIOD_SECONDS)


def _own_procs(layout: Layout) -> str:
    """The cgroup.procs file of the cgroup that this process is in; "" where it cannot be told."""
    with open("/proc/self/cgroup") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            for name in names.split(","):
                name = name.removeprefix("name=")
                mount = layout.root if layout.version is Version.V2 and not name else layout.controllers.get(name, "")
                candidate = f"{mount}{path.rstrip('/')}/cgroup.procs"
                if mount and os.access(candidate, os.W_OK):
                    return candidate
    return ""
