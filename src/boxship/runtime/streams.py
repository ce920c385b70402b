"""The standard streams of a process with users of its own: it may open them again by name (/dev/stdout) only where they
are its user's, and in a user namespace no runtime can give them to him."""

import contextlib
import os

from boxship.runtime.handle import ExecPlan

PIPE = "pipe:["  # how the kernel calls a pipe without a name, as no path begins


def owner_of(plan: ExecPlan) -> tuple[int, int] | None:
    """The machine's ids of the user and the group that an exec runs as; None where they are as they are."""
    identity, first = plan.identity, plan.first_user
    return (first + identity.uid, first + identity.gid) if first else None


def give_streams(pid: int, uid: int, gid: int, *, every: bool = False) -> None:
    """Give the pipes that a process has as its standard streams to a user; with `every`, all pipes that it has. A
    process that has ended is fine."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        names = os.listdir(f"/proc/{pid}/fd") if every else ("0", "1", "2")
        for name in names:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                _give(f"/proc/{pid}/fd/{name}", uid, gid)


def _give(path: str, uid: int, gid: int) -> None:
    """The process may already run, and put a file of the machine in the pipe's place at any moment: so what is looked
    at is held, and a pipe with a name is nobody's stream."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        held = f"/proc/self/fd/{descriptor}"
        if os.readlink(held).startswith(PIPE):
            os.chown(held, uid, gid)
    finally:
        os.close(descriptor)
