"""conmon, the small program that stays with each container: its command line and its pipes.

Facts of conmon 2.1.6, each held by a test against the real program:
- `_OCI_SYNCPIPE` names a descriptor to which conmon writes one JSON line: {"pid": N} after `create`, {"data": N} after
  `exec` (with --api-version 1, and {"data": code} at the end); N below 1 is a failure, with "message".
- With --sync conmon does not fork away: it stays our child, its pid needs no pid file, and it has to be reaped.
- With --exec-attach, conmon says on `_OCI_ATTACHPIPE` when its attach socket is there, and starts the exec after a
  second byte on `_OCI_STARTPIPE` (the first lets conmon itself go on; it reads whatever is in the pipe at once).
- The attach socket is bound as `attach` in the bundle, whatever the length of that path, with --full-attach.
- The exit code goes to the file `<exit-dir>/<container id>`, which appears complete, by rename, before conmon ends.
- One round of its loop takes one client from the attach socket, then control messages, then output: a client that was
  not yet taken when a second one came may miss output. `settle` waits for the round.
- The fifo `ctl` in the bundle takes "1 ROWS COLUMNS\\n" (terminal size) and "2 0 0\\n" (open the log file again).
- A terminal's socket is made in TMPDIR, by a name of at most 108 bytes; the runtime reads that name in the same working
  folder: the bundle. There conmon also leaves an empty file `oom` when the kernel kills for want of memory.
- A log path is cut at its first ":" (after the driver's name).
"""

import asyncio
import contextlib
import fcntl
import os
import sys
import termios
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec

from boxship.errors import Internal, Timeout, Unsupported
from boxship.sys.pidfd import start_time
from boxship.sys.spawn import SAFE_ENVIRONMENT, spawn

PROGRAM = "conmon"
SYNC, ATTACH, START = 3, 4, 5  # the child's descriptors
REPORT_BYTES = 1 << 16
RESIZE, REOPEN_LOG, NOTHING = 1, 2, 9  # kinds of control messages
SETTLE_SECONDS = 0.5
SETTLE_LOOK_SECONDS = 0.0002
MAXIMUM_SIZE = 1000  # rows or columns that conmon takes


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What conmon shall hold."""

    container_id: str
    program: str  # of the OCI runtime
    state_root: Path  # where the runtime keeps its state
    bundle: Path
    log_path: str = ""
    tty: bool = False
    stdin: bool = False
    keep_stdin: bool = False  # stdin stays open when a client goes
    process: Path | None = None  # exec: the file that describes the process
    attach: bool = False  # exec: wait for a client before the start


class Report(msgspec.Struct, frozen=True):
    """A line on the sync pipe."""

    pid: int | None = None
    data: int | None = None
    message: str = ""


class Failed(Internal):
    """The runtime, or conmon itself, could not do it; the message is what it printed."""


def arguments(request: Request) -> list[str]:
    """conmon's command line."""
    if ":" in request.log_path:
        raise Unsupported(f"unsupported: a log path with a colon: {request.log_path}")
    line = [
        PROGRAM,
        "--sync",
        "--no-sync-log",  # no fsync when the container ends: that is several milliseconds for each container
        "--full-attach",
        "--api-version=1",
        f"--cid={request.container_id}",
        f"--cuuid={request.container_id}",
        f"--runtime={request.program}",
        f"--runtime-arg=--root={request.state_root}",
        f"--bundle={request.bundle}",
        f"--container-pidfile={request.bundle}/pidfile",
        f"--exit-dir={request.bundle}",
        f"--log-path={'k8s-file:' + request.log_path if request.log_path else 'none'}",
    ]
    if request.tty:
        line.append("--terminal")
    if request.stdin:
        line.append("--stdin")
    if request.keep_stdin:
        line.append("--leave-stdin-open")
    if request.process is not None:
        line += ["--exec", f"--exec-process-spec={request.process}"]
    if request.attach:
        line.append("--exec-attach")
    return line


class Conmon:
    """A conmon that has just been spawned. `close` gives its pipes back; conmon goes on without them."""

    def __init__(self, request: Request) -> None:
        self._open: list[int] = []
        self.pid = 0
        try:
            self._spawn(request)
        except BaseException:
            self.close()
            raise
        self.started = start_time(self.pid)

    def _spawn(self, request: Request) -> None:
        self._sync, sync = self._pipe()
        self._errors, errors = self._pipe()
        files = {SYNC: sync, 2: errors}
        environment = {**SAFE_ENVIRONMENT, "TZ": "UTC0", "TMPDIR": ".", "_OCI_SYNCPIPE": str(SYNC)}
        ours = [self._sync, self._errors]
        if request.attach:
            self._attach, files[ATTACH] = self._pipe()
            files[START], self._start = self._pipe()
            ours += [self._attach, self._start]
            environment |= {"_OCI_ATTACHPIPE": str(ATTACH), "_OCI_STARTPIPE": str(START)}
        self.pid = spawn(arguments(request), env=environment, files=files, folder=request.bundle)
        for descriptor in files.values():
            os.close(descriptor)
        self._open = ours

    def _pipe(self) -> tuple[int, int]:
        reading, writing = os.pipe()
        self._open += [reading, writing]
        return reading, writing

    async def attach_ready(self) -> None:
        """Wait until the attach socket of an exec is there."""
        os.write(self._start, b"0")
        await _line(self._attach)

    def let_start(self) -> None:
        """Start the exec: the client is connected."""
        os.write(self._start, b"0")

    async def process(self) -> int:
        """The pid of the process that the runtime made. Raises Failed with the runtime's message."""
        line = await _line(self._sync)
        try:
            report = msgspec.json.decode(line, type=Report) if line else Report()
        except msgspec.MsgspecError:
            report = Report(message=line.decode(errors="replace"))
        pid = report.pid if report.data is None else report.data
        if pid is not None and pid > 0:
            return pid
        raise Failed(report.message or self._complaint())

    def _complaint(self) -> str:
        os.set_blocking(self._errors, False)
        try:
            return os.read(self._errors, REPORT_BYTES).decode(errors="replace")
        except BlockingIOError:
            return ""

    def close(self) -> None:
        for descriptor in self._open:
            os.close(descriptor)
        self._open = []


async def _line(descriptor: int) -> bytes:
    """What comes from a pipe up to a newline or its end."""
    loop = asyncio.get_running_loop()
    os.set_blocking(descriptor, False)
    text = b""
    while not text.endswith(b"\n") and len(text) < REPORT_BYTES:
        try:
            chunk = os.read(descriptor, REPORT_BYTES)
        except BlockingIOError:
            await _readable(loop, descriptor)
            continue
        if not chunk:
            break
        text += chunk
    return text.split(b"\n")[0]


async def _readable(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def control(bundle: Path, kind: int, rows: int = 0, columns: int = 0) -> None:
    """Send a control message. Raises Internal where conmon has ended."""
    try:
        descriptor = os.open(bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"{kind} {min(rows, MAXIMUM_SIZE)} {min(columns, MAXIMUM_SIZE)}\n".encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Internal(f"cannot reach the monitor of {bundle.name}: {error.strerror}") from error


async def settle(bundle: Path) -> None:
    """Wait until conmon has taken the client that connected last: until it has read a control message sent after that.

    The message is of a kind that conmon does not know and passes over. A conmon that has ended, or stands still for
    SETTLE_SECONDS, is not waited for.
    """
    try:
        descriptor = os.open(bundle / "ctl", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, b"%d 0 0\n" % NOTHING)
        end = time.monotonic() + SETTLE_SECONDS
        while _unread(descriptor) and time.monotonic() < end:
            await asyncio.sleep(SETTLE_LOOK_SECONDS)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _unread(descriptor: int) -> int:
    """Bytes in a fifo."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)


def living(folder: Path) -> Iterator[tuple[int, Path]]:
    """(pid, bundle) of every conmon whose bundle lies below `folder`: a look at each process of the machine."""
    prefix = f"--bundle={folder}/".encode()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[0].rsplit(b"/", 1)[-1] != PROGRAM.encode():
            continue
        for word in words:
            if word.startswith(prefix):
                yield int(name), Path(os.fsdecode(word.removeprefix(b"--bundle=")))


def descendants(pid: int) -> list[int]:
    """Pids of everything below a conmon: the runtime while it works, the process that it made."""
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def log_path(pid: int) -> str:
    """The log file of a living conmon, from its command line; "" for none."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    prefix = b"--log-path=k8s-file:"
    return next((os.fsdecode(word.removeprefix(prefix)) for word in words if word.startswith(prefix)), "")


@contextlib.asynccontextmanager
async def deadline(action: str, seconds: float) -> AsyncIterator[None]:
    """Raise Timeout, saying what could not be done, where the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Timeout(f"cannot {action}: the runtime did not answer within {seconds:g} s") from None
