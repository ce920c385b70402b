"""Start programs without forking the daemon: posix_spawn(3), which shares memory with the child until it has exec'ed.

A fork of a big Python process copies its page tables (4 ms and more) and runs the daemon's memory in two processes; a
posix_spawn takes 0.4 ms whatever the size. The child gets exactly the files named, the environment named, default
signal actions and an empty signal mask. It must never inherit anything else, and nothing here may call os.fork.
"""

import asyncio
import contextlib
import fcntl
import functools
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from boxship.errors import Exhausted, Internal, Timeout, Unavailable
from boxship.sys.path import unshare
from boxship.sys.pidfd import open_pidfd, wait_pidfd

PROGRAM_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
SAFE_ENVIRONMENT: Mapping[str, str] = {"PATH": ":".join(PROGRAM_FOLDERS), "LC_ALL": "C"}
CHUNK_BYTES = 1 << 16
_CLONE_FS = 0x200

# Python ignores these two; an ignored signal stays ignored across exec, and no program expects that.
_RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)


class Completed(msgspec.Struct, frozen=True):
    """A program that ended. `returncode` is negative where a signal ended it, as in the subprocess module."""

    returncode: int
    stdout: bytes
    stderr: bytes


def find_program(name: str) -> str:
    """The absolute path of a program, searched in a fixed list of folders, never in the caller's PATH.

    A name with a slash is taken as it is. Unavailable where there is none.
    """
    if "/" in name:
        return name
    for folder in PROGRAM_FOLDERS:
        path = f"{folder}/{name}"
        if os.access(path, os.X_OK):
            return path
    raise Unavailable(f"cannot run {name}: the program is not installed")


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    files: Mapping[int, int] = {},
    new_session: bool = False,
    folder: str | os.PathLike[str] | None = None,
) -> int:
    """Start `argv` (argv[0] as find_program takes it) and return its pid; the caller must reap it.

    `files` maps the child's descriptors to ours; 0, 1 and 2 are /dev/null unless named. `folder` is its working
    folder, else it has ours. Raises Internal where the program cannot be executed.
    """
    program = find_program(argv[0])
    if folder is not None:
        return _spawner().submit(_spawn_in, folder, program, argv, env, files, new_session).result()
    return _spawn(program, argv, env, files, new_session)


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    """One thread with a working folder of its own: posix_spawn cannot set the child's, which is that of its caller."""
    return ThreadPoolExecutor(1, thread_name_prefix="spawn", initializer=unshare, initargs=(_CLONE_FS,))


def _spawn_in(
    folder: str | os.PathLike[str],
    program: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    files: Mapping[int, int],
    new_session: bool,
) -> int:
    try:
        os.chdir(folder)
    except OSError as error:
        raise Internal(f"cannot run {program} in {folder}: {error.strerror}") from error
    try:
        return _spawn(program, argv, env, files, new_session)
    finally:
        os.chdir("/")


def _spawn(
    program: str, argv: Sequence[str], env: Mapping[str, str], files: Mapping[int, int], new_session: bool
) -> int:
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = []
    highest = max((2, *files)) + 1
    copies: list[int] = []
    try:
        for target, source in files.items():
            if source != target and source in files:  # an earlier dup2 would overwrite it
                source = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, highest)
                copies.append(source)
            actions.append((os.POSIX_SPAWN_DUP2, source, target))
        for target in {0, 1, 2} - set(files):
            flags = os.O_RDONLY if target == 0 else os.O_WRONLY
            actions.append((os.POSIX_SPAWN_OPEN, target, "/dev/null", flags, 0))
        # /dev/null goes last: it could close a source below 3 that is not a target.
        return os.posix_spawn(
            program,
            list(argv),
            dict(env),
            file_actions=actions,
            setsid=new_session,
            setsigmask=(),
            setsigdef=_RESET_SIGNALS,
        )
    except OSError as error:
        raise Internal(f"cannot run {program}: {error.strerror}") from error
    finally:
        for copy in copies:
            os.close(copy)


def reap(pid: int) -> int | None:
    """The exit code of our ended child (negative for a signal), or None where it is not ours or was reaped before."""
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status)


class _Output:
    """Gathers what comes out of one pipe, without blocking."""

    def __init__(self, descriptor: int, limit: int, on_overflow: Callable[[], None]) -> None:
        self.descriptor = descriptor
        self.limit = limit
        self.chunks: list[bytes] = []
        self.size = 0
        self.overflow = False
        self._on_overflow = on_overflow
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self.drain)

    def drain(self) -> None:
        """Read what is there now."""
        while not self.overflow:
            try:
                chunk = os.read(self.descriptor, CHUNK_BYTES)
            except BlockingIOError:
                return
            if not chunk:
                asyncio.get_running_loop().remove_reader(self.descriptor)
                return
            self.size += len(chunk)
            if self.size > self.limit:
                self.overflow = True
                asyncio.get_running_loop().remove_reader(self.descriptor)
                self._on_overflow()
                return
            self.chunks.append(chunk)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.descriptor)
        os.close(self.descriptor)


class _Input:
    """Feeds bytes into one pipe, without blocking, and closes it at the end."""

    def __init__(self, descriptor: int, data: bytes) -> None:
        self.descriptor = descriptor
        self.rest = memoryview(data)
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_writer(descriptor, self._feed)

    def _feed(self) -> None:
        try:
            self.rest = self.rest[os.write(self.descriptor, self.rest[:CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:  # the program closed its stdin; that is its own affair
            self.rest = self.rest[:0]
        if not self.rest:
            self.close()

    def close(self) -> None:
        if self.descriptor >= 0:
            asyncio.get_running_loop().remove_writer(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1


async def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] = SAFE_ENVIRONMENT,
    stdin: bytes = b"",
    timeout: float,
    limit: int = 1 << 20,
) -> Completed:
    """Run a program to its end, at most `timeout` seconds, and return what it printed (at most `limit` bytes a stream).

    Raises Timeout or Exhausted after the program was killed; a cancelled call kills it too. Output of children that
    outlive the program is not waited for.
    """
    out_read, out_write = os.pipe()
    error_read, error_write = os.pipe()
    pipes = [out_read, out_write, error_read, error_write]
    files = {1: out_write, 2: error_write}
    in_write = -1
    if stdin:
        in_read, in_write = os.pipe()
        pipes += [in_read, in_write]
        files[0] = in_read
    try:
        pid = spawn(argv, env=env, files=files)
    except BaseException:
        for descriptor in pipes:
            os.close(descriptor)
        raise
    for descriptor in files.values():
        os.close(descriptor)
    return await _communicate(pid, argv[0], (out_read, error_read, in_write), stdin, timeout, limit)


async def _communicate(
    pid: int, name: str, pipes: tuple[int, int, int], stdin: bytes, timeout: float, limit: int
) -> Completed:
    handle = open_pidfd(pid)

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)

    outputs = [_Output(descriptor, limit, kill) for descriptor in pipes[:2]]
    feed = _Input(pipes[2], stdin) if pipes[2] >= 0 else None
    returncode: int | None = None
    try:
        async with asyncio.timeout(timeout):
            await wait_pidfd(handle)
        returncode = reap(pid)
        for output in outputs:
            output.drain()
    except TimeoutError:
        raise Timeout(f"cannot run {name}: it did not end within {timeout:g} s") from None
    finally:
        if returncode is None:
            kill()
            reap(pid)  # SIGKILL is on its way: this waits for microseconds
        if feed:
            feed.close()
        for output in outputs:
            output.close()
        os.close(handle)
    if any(output.overflow for output in outputs):
        raise Exhausted(f"cannot run {name}: it printed more than {limit} bytes")
    return Completed(returncode or 0, b"".join(outputs[0].chunks), b"".join(outputs[1].chunks))
