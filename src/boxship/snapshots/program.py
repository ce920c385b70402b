"""Runs the child program for one job: archives stream through pipes, the result comes back as one line.

The daemon's loop only moves bytes. A cancelled or abandoned job is killed and reaped. Nothing here touches a file of a
container; that is the child's work (see `child`).
"""

import asyncio
import contextlib
import fcntl
import functools
import importlib.util
import json
import marshal
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from boxship import errors
from boxship.spec.mount import Mount
from boxship.sys.pidfd import open_pidfd, wait_pidfd
from boxship.sys.spawn import reap, spawn
from boxship.waiting import settled

_CHILD = str(Path(__file__).parent / "child" / "__main__.py")
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_PIPE_BYTES = 1 << 20
_READ_BYTES = 1 << 18
_RESULT_LIMIT_BYTES = 256 << 20
_STDERR_LIMIT_BYTES = 4096


class _Reader:
    """Gathers a pipe to its end without blocking; `done` is set then."""

    def __init__(self, descriptor: int, limit: int) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self.data = bytearray()
        self.done: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            part = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        self.data += part
        if not part or len(self.data) > self._limit:
            self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            if not self.done.done():
                self.done.set_result(None)


async def _ready(descriptor: int, *, to_write: bool) -> None:
    """Wait until a pipe can be read or written."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add: Callable[..., object] = loop.add_writer if to_write else loop.add_reader
    remove: Callable[[int], object] = loop.remove_writer if to_write else loop.remove_reader

    def wake() -> None:
        remove(descriptor)
        if not ready.done():
            ready.set_result(None)

    add(descriptor, wake)
    try:
        await ready
    finally:
        remove(descriptor)


@functools.cache
def _packages() -> str:
    """The folder of our packages, from which the program loads a codec where it needs one; "" for none."""
    found = importlib.util.find_spec("backports")
    places = list(found.submodule_search_locations or ()) if found else []
    return str(Path(places[0]).parent) if places else ""


def _memory_file(name: str, content: bytes = b"") -> int:
    descriptor = os.memfd_create(name)
    if content:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class Job:
    """One run of the child program; use `run_job` or `stream_job`."""

    def __init__(
        self, job: dict[str, Any], stdin: int | None, *, output: bool, program: str = _CHILD, given: int = -1
    ) -> None:
        self._what = str(job["what"])
        self.output = -1
        result_read, result_write = os.pipe()
        self._errors = _memory_file("stderr")
        files = {
            2: self._errors,
            3: _memory_file("job", marshal.dumps(job | {"packages": _packages()})),
            4: result_write,
        }
        if stdin is not None:
            files[0] = stdin
        if given >= 0:
            files[5] = given
        if output:
            self.output, files[1] = os.pipe()
            _widen(self.output)
        argv = [sys.executable, "-I", "-S", "-X", "utf8", program]
        try:
            self._pid = spawn(argv, env=_ENVIRONMENT, files=files)
        except BaseException:
            os.close(result_read)
            os.close(self._errors)
            if output:
                os.close(self.output)
            raise
        finally:
            for target, descriptor in files.items():
                if target not in (0, 2, 5):
                    os.close(descriptor)
        self._process = open_pidfd(self._pid)
        self._reader = _Reader(result_read, _RESULT_LIMIT_BYTES)

    @property
    def finished(self) -> "asyncio.Future[None]":
        """Done once the child has said its result, or died."""
        return self._reader.done

    async def result(self) -> Any:
        """The job's value; raises what the child reported."""
        await self._reader.done
        await wait_pidfd(self._process)
        code = self._reap()
        try:
            answer = json.loads(bytes(self._reader.data))
        except ValueError:
            said = os.pread(self._errors, _STDERR_LIMIT_BYTES, 0).decode("utf-8", "replace").strip()
            last = said.rpartition("\n")[2] or f"exit status {code}"
            raise errors.Internal(f"cannot {self._what}: the child program failed: {last}") from None
        if "error" in answer:
            kind = getattr(errors, answer["error"], errors.Internal)
            raise kind(answer["message"])
        return answer["value"]

    def _reap(self) -> int | None:
        pid, self._pid = self._pid, 0
        return reap(pid) if pid else None

    def close(self) -> None:
        """Kill the child if it still runs, and give everything back."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            self._reap()
        self._reader.close()
        for descriptor in (self._process, self._errors, self.output):
            if descriptor >= 0:
                os.close(descriptor)
        self._process = self._errors = self.output = -1


def _widen(descriptor: int) -> None:
    """A bigger pipe buffer, where the limit for all of a user's pipes allows it."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


async def _feed(descriptor: int, source: AsyncIterator[bytes]) -> None:
    """Write a stream into a pipe and close it; a child that no longer reads ends it quietly."""
    os.set_blocking(descriptor, False)
    try:
        async for chunk in source:
            view = memoryview(chunk)
            while view:
                try:
                    view = view[os.write(descriptor, view) :]
                except BlockingIOError:
                    await _ready(descriptor, to_write=True)
    except BrokenPipeError:
        return
    finally:
        os.close(descriptor)


async def run_job(
    job: dict[str, Any],
    source: "AsyncIterator[bytes] | Path | None" = None,
    *,
    program: str = _CHILD,
    given: int = -1,
) -> Any:
    """Do a job; `source` is the archive that it reads. An error of the source itself goes on to the caller.

    `program` is another entry of the same kind (see `child.__main__`), with jobs of its own. `given` is an open
    file that the job gets as its descriptor 5; it stays the caller's too.
    """
    if isinstance(source, Path):
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            running = Job(job, descriptor, output=False, given=given)
        finally:
            os.close(descriptor)
        source = None
    elif source is None:
        running = Job(job, None, output=False, program=program, given=given)
    else:
        return await _run_fed(job, source, given)
    try:
        return await running.result()
    finally:
        running.close()


async def measure(paths: Sequence[str], what: str) -> list[tuple[int, int]]:
    """Bytes on the device and inodes of each tree; 0 for what is missing. `what`: for an error's text."""
    if not paths:
        return []
    found = await run_job({"kind": "usage", "what": what, "paths": list(paths)})
    return [(int(size), int(inodes)) for size, inodes in found]


async def _run_fed(job: dict[str, Any], source: AsyncIterator[bytes], given: int) -> Any:
    read, write = os.pipe()
    _widen(write)
    try:
        running = Job(job, read, output=False, given=given)
    except BaseException:
        os.close(write)
        raise
    finally:
        os.close(read)
    feeding = asyncio.ensure_future(_feed(write, source))
    try:
        await asyncio.wait((feeding, running.finished), return_when=asyncio.FIRST_COMPLETED)
        if feeding.done():
            feeding.result()
        return await running.result()
    finally:
        feeding.cancel()
        running.close()
        await asyncio.gather(feeding, return_exceptions=True)


async def pump_job(job: dict[str, Any], write: Callable[[bytes], None], *, program: str = _CHILD) -> Any:
    """Do a job whose archive goes to `write`, which is called in a thread; the job's value. What `write` raises ends
    the job."""
    running = Job(job, None, output=True, program=program)
    descriptor, running.output = running.output, -1  # the thread's own, which closes it

    def pump() -> None:
        try:
            while chunk := os.read(descriptor, _PIPE_BYTES):
                write(chunk)
        finally:
            os.close(descriptor)

    pumping = asyncio.ensure_future(asyncio.to_thread(pump))
    try:
        await asyncio.shield(pumping)
        return await running.result()
    finally:
        running.close()  # a child that is killed ends the thread
        await settled(pumping)


async def stream_job(job: dict[str, Any], *, program: str = _CHILD) -> AsyncIterator[bytes]:
    """The archive that a job writes; raises what the child reported, at the end if it failed on the way."""
    running = Job(job, None, output=True, program=program)
    try:
        os.set_blocking(running.output, False)
        while True:
            try:
                chunk = os.read(running.output, _READ_BYTES)
            except BlockingIOError:
                await _ready(running.output, to_write=False)
                continue
            if not chunk:
                break
            yield chunk
        await running.result()
    finally:
        running.close()


def plain_mounts(mounts: tuple[Mount, ...]) -> list[tuple[str, str, str, list[str]]]:
    """Mounts as a job carries them."""
    return [(mount.kind, mount.source, mount.target, list(mount.options)) for mount in mounts]
