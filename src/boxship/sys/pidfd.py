"""Processes by handles that cannot point at a stranger: pidfds, and pids with their start time.

A pid alone may belong to another process by the time that it is used; a pid with its start time (proc(5), stat, field
22, clock ticks since boot) survives a restart of the daemon and still names one process. No function here acts on a
bare pid that somebody stored.
"""

import asyncio
import contextlib
import os
import signal as signals

from boxship.errors import Internal

_ENDED_STATES = (b"Z", b"X", b"x")


def open_pidfd(pid: int) -> int:
    """A descriptor (close-on-exec) of a living process or an unreaped child. ProcessLookupError where there is none."""
    return os.pidfd_open(pid)


async def wait_pidfd(descriptor: int) -> None:
    """Wait until the process ends. It is not reaped; the descriptor stays open. One waiter for a descriptor."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def on_ready() -> None:
        loop.remove_reader(descriptor)
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(descriptor, on_ready)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)


def _state_and_start(pid: int) -> tuple[bytes, int]:
    """The state letter and start time of a process; (b"", 0) where it is gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):  # the latter while the process goes: found, but gone at its opening
        return b"", 0
    try:
        text = os.read(descriptor, 4096)
    except ProcessLookupError:
        return b"", 0
    finally:
        os.close(descriptor)
    fields = text[text.rindex(b")") + 2 :].split()  # the name in parentheses may hold anything
    return fields[0], int(fields[19])


def start_time(pid: int) -> int:
    """When the process began, in clock ticks since boot; 0 where there is none."""
    return _state_and_start(pid)[1] if pid > 0 else 0


def is_alive(pid: int, started: int) -> bool:
    """Whether that very process still runs. A zombie does not."""
    if pid <= 0:
        return False
    state, found = _state_and_start(pid)
    return found == started and found != 0 and state not in _ENDED_STATES


def open_process(pid: int, started: int) -> int | None:
    """A pidfd of that very process, or None where it is gone. The check comes after the opening, so it holds."""
    if pid <= 0:
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    except OSError as error:
        raise Internal(f"cannot open process {pid}: {error.strerror}") from error
    if not is_alive(pid, started):
        os.close(descriptor)
        return None
    return descriptor


def send_signal(pid: int, started: int, signal: int) -> bool:
    """Send a signal to that very process; False where it is gone."""
    descriptor = open_process(pid, started)
    if descriptor is None:
        return False
    try:
        with contextlib.suppress(ProcessLookupError):
            signals.pidfd_send_signal(descriptor, signal)
            return True
        return False
    except OSError as error:
        raise Internal(f"cannot signal process {pid}: {error.strerror}") from error
    finally:
        os.close(descriptor)
