"""User namespaces, with the other namespaces that belong to them: made once, kept by bind mounts, joined by others.

A process of several threads cannot enter one, so what has to happen inside is done by the system's own small programs
(`unshare`, `nsenter`). Nothing here may be given ids that others have.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from boxship.errors import Internal, Unsupported
from boxship.sys import namespace
from boxship.sys.pidfd import send_signal, start_time
from boxship.sys.spawn import SAFE_ENVIRONMENT, reap, spawn

LIMIT = Path("/proc/sys/user/max_user_namespaces")
CHILDREN = "/proc/{pid}/task/{pid}/children"
OPTIONS = {"user": "--user", "net": "--net", "ipc": "--ipc"}
SIGKILL = 9
TEXT_LIMIT = 4096


def check() -> None:
    """Unsupported where this machine has no user namespaces."""
    if not os.path.exists("/proc/self/ns/user"):
        raise Unsupported("unsupported: user namespaces: the kernel has none (CONFIG_USER_NS)")
    with contextlib.suppress(OSError):
        if LIMIT.read_text().strip() == "0":
            raise Unsupported("unsupported: user namespaces: user.max_user_namespaces is 0")


def create(places: Mapping[str, Path], first: int, count: int) -> None:
    """New namespaces of the kinds named ("user" among them), kept at their places; the others belong to the user
    namespace, in which 0 to `count` stand for the machine's ids from `first` on. What was kept there before goes."""
    check()
    for path in places.values():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        namespace.remove(path)
    child = _Inside([OPTIONS[kind] for kind in places])
    try:
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{child.pid}/{name}", "w") as file:
                file.write(f"0 {first} {count}")
        for kind, path in places.items():
            namespace.keep(path, f"/proc/{child.pid}/ns/{kind}")
    except OSError as error:
        raise Internal(f"cannot map users to {first}: {error.strerror}") from error
    finally:
        child.end()


class _Inside:
    """A process in new namespaces, which does nothing and ends with us."""

    def __init__(self, options: Sequence[str]) -> None:
        reading, self._write = os.pipe()
        self._read, writing = os.pipe()
        self._errors, errors = os.pipe()
        try:
            line = ["unshare", *options, "cat"]
            self.pid = spawn(line, env=SAFE_ENVIRONMENT, files={0: reading, 1: writing, 2: errors})
        except BaseException:
            for descriptor in (self._write, self._read, self._errors):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (reading, writing, errors):
                os.close(descriptor)
        with contextlib.suppress(BrokenPipeError):
            os.write(self._write, b"\n")
        if not os.read(self._read, 1):  # it says again what it hears, as soon as it is inside
            why = os.read(self._errors, TEXT_LIMIT).decode(errors="replace").strip()
            self.end()
            raise Unsupported(f"unsupported: user namespaces: {why.removeprefix('unshare: ')}")

    def end(self) -> None:
        for descriptor in (self._write, self._read, self._errors):
            os.close(descriptor)
        reap(self.pid)


def spawn_with_new_pids(path: Path, line: Sequence[str], env: Mapping[str, str]) -> int:
    """Start a program as the first process of a new process namespace that belongs to the user namespace at `path`; it
    is nobody's child afterwards, and goes on without us."""
    if not os.path.exists(CHILDREN.format(pid=os.getpid())):
        raise Unsupported("unsupported: a process namespace in a user namespace: the kernel lacks CONFIG_PROC_CHILDREN")
    inside = ["nsenter", f"--user={path}", "unshare", "--pid", "--fork", *line]
    between = spawn(inside, env=env, new_session=True)
    try:
        return _only_child(between)
    finally:
        send_signal(between, start_time(between), SIGKILL)
        reap(between)


def _only_child(pid: int) -> int:
    """The process that `pid` starts; waits for it."""
    while True:
        try:
            children = Path(CHILDREN.format(pid=pid)).read_text().split()
        except OSError:
            children = []
        if children:
            return int(children[0])
        if _has_ended(pid):
            raise Unsupported("unsupported: a process namespace in a user namespace")
        os.sched_yield()


def _has_ended(pid: int) -> bool:
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found is not None and found.si_pid == pid
