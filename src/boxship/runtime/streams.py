"""The standard streams of a process with users of its own: it may open them again by name (/dev/stdout) only where they
are its user's, and in a user namespace no runtime can give them to him."""

import contextlib
import os
import stat

from boxship.runtime.handle import ExecPlan


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
                path = f"/proc/{pid}/fd/{name}"
                if stat.S_ISFIFO(os.stat(path).st_mode):
                    os.chown(path, uid, gid)
