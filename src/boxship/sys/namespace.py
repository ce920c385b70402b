"""Namespaces of networks and of IPC: make one, keep it by a bind mount, work inside it, let it go.

A namespace belongs to a thread, so all of this happens in threads of its own that end afterwards: no thread that others
may use again ever changes its namespace. Nothing here may be called with the expectation that the caller moves.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from boxship.errors import Internal

CLONE_NEWNET = 0x40000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
NAMES = {CLONE_NEWNET: "network", CLONE_NEWIPC: "IPC"}
MS_BIND = 0x1000
MNT_DETACH = 2

Result = TypeVar("Result")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _check(result: int, action: str) -> None:
    if result < 0:
        raise Internal(f"cannot {action}: {os.strerror(ctypes.get_errno())}")


def _in_thread(work: Callable[[], Result]) -> Result:
    """Run `work` in a fresh thread and hand its result or its error to the caller."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=body, name="namespace", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def create(path: Path, prepare: Callable[[], Result]) -> Result:
    """Make a network namespace, run `prepare` inside it, and keep it by a bind mount at `path` (made here)."""

    def work() -> Result:
        _check(_libc.unshare(CLONE_NEWNET), f"create network namespace {path}")
        result = prepare()
        keep(path, "/proc/thread-self/ns/net")
        return result

    return _in_thread(work)


def create_ipc(path: Path, prepare: Callable[[], Result]) -> Result:
    """Make an IPC namespace, run `prepare` inside it, and keep it by a bind mount at `path` (made here)."""

    def work() -> Result:
        _check(_libc.unshare(CLONE_NEWIPC), f"create IPC namespace {path}")
        result = prepare()
        keep(path, "/proc/thread-self/ns/ipc")
        return result

    return _in_thread(work)


def run_with_new_pids(work: Callable[[], Result]) -> Result:
    """Run `work` where the first process that it starts is the first of a new process namespace."""

    def body() -> Result:
        _check(_libc.unshare(CLONE_NEWPID), "create a process namespace")
        return work()

    return _in_thread(body)


def keep(path: Path, source: str) -> None:
    """Bind the namespace that `source` names (as /proc/PID/ns/net) to the file `path`, which is made if missing."""
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    if _libc.mount(source.encode(), os.fsencode(path), None, MS_BIND, None) < 0:
        problem = os.strerror(ctypes.get_errno())
        os.unlink(path)
        raise Internal(f"cannot bind {source} to {path}: {problem}")


def run_inside(path: Path | int, work: Callable[[], Result], kind: int = CLONE_NEWNET) -> Result:
    """Run `work` in the namespace at `path` (or behind a descriptor); blocks until it is done. What `work` opens stays
    in that namespace, and keeps it alive until closed."""

    def body() -> Result:
        descriptor = path if isinstance(path, int) else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(descriptor, kind), f"enter {NAMES[kind]} namespace {path}")
        finally:
            if not isinstance(path, int):
                os.close(descriptor)
        return work()

    return _in_thread(body)


def remove(path: Path) -> None:
    """Let the namespace go: it ends, with its interfaces, once no process and no descriptor holds it. Idempotent."""
    while _libc.umount2(os.fsencode(path), MNT_DETACH) == 0:
        pass  # it may have been bound twice by a daemon that was killed
    path.unlink(missing_ok=True)


def exists(path: Path) -> bool:
    """Whether a namespace is bound at `path` (a left-over plain file is none)."""
    try:
        return os.stat(path).st_dev == os.stat("/proc/self/ns/net").st_dev
    except FileNotFoundError:
        return False


def identity(path: str | Path) -> tuple[int, int]:
    """Tells namespaces apart: device and inode; (0, 0) where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def write_setting(name: str, value: str) -> bool:
    """Set a kernel parameter of the calling thread's namespace, by its name below /proc/sys/net ("ipv4/ip_forward");
    False where the kernel does not have it or does not allow it."""
    try:
        with open(f"/proc/sys/net/{name}", "w") as file:
            file.write(value)
    except OSError:
        return False
    return True


def read_setting(name: str) -> str:
    """A kernel parameter as text, "" where the kernel does not have it."""
    try:
        return Path(f"/proc/sys/net/{name}").read_text().strip()
    except OSError:
        return ""


def has_interface(name: str) -> bool:
    """Whether the calling thread's namespace has an interface of that name, without waiting for the kernel's lock."""
    return os.path.exists(f"/proc/sys/net/ipv4/conf/{name}")
