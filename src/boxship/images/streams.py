"""Bytes from a client into a working thread: a bridge from the loop, and decompression that is bounded in memory."""

import asyncio
import bz2
import concurrent.futures
import importlib
import lzma
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from boxship.errors import Canceled, Invalid, Unsupported

PIECE = 1024 * 1024  # bytes of one step
T = TypeVar("T")


class Reader(Protocol):
    """What tarfile reads from."""

    def read(self, size: int, /) -> bytes: ...


class Bridge:
    """A file for a thread, whose bytes an async iterator gives in the loop."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._position = 0  # in the rest
        self._ended = False
        self._closed = False
        self._pending: Any = None

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; b"" at the end. In the thread."""
        while self._position == len(self._rest):
            if self._ended:
                return b""
            self._rest = self.call(self._gather())
            self._position = 0
        data = self._rest[self._position : self._position + size]
        self._position += len(data)
        return data

    def call(self, coroutine: Any) -> Any:
        """Run a coroutine in the loop and wait for it. In the thread. Raises Canceled after `close`."""
        if self._closed:
            coroutine.close()
            raise Canceled("cannot read the request: the client went away")
        self._pending = pending = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        if self._closed:  # between the look above and the assignment
            pending.cancel()
        try:
            return pending.result()
        except (asyncio.CancelledError, TimeoutError) as error:
            raise Canceled("cannot read the request: the client went away") from error
        except BaseException as error:
            if self._closed:
                raise Canceled("cannot read the request: the client went away") from error
            raise

    async def _gather(self) -> bytes:
        pieces = []
        size = 0
        while size < PIECE:
            try:
                data = await anext(self._source)
            except StopAsyncIteration:
                self._ended = True
                break
            pieces.append(data)
            size += len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _close(self) -> None:
        self._closed = True
        if self._pending is not None:
            self._pending.cancel()

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread of its own; when the caller is cancelled, the thread is ended before this returns.

        Not in the loop's pool: `work` waits for the client and for the loop, and a few slow clients would take every
        thread that the loop itself needs."""
        done: concurrent.futures.Future[T] = concurrent.futures.Future()

        def body() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=body, name="image-stream", daemon=True).start()
        waiting = asyncio.wrap_future(done)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            self._close()
            await asyncio.wait([waiting])
            waiting.exception()
            raise


class _Zlib:
    """gzip with the interface of bz2's and lzma's decompressors."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)
        self._full = False

    def decompress(self, data: bytes, max_length: int) -> bytes:
        found = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._full = len(found) == max_length
        return found

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._full

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _zstandard() -> Any:
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(module).ZstdDecompressor()
        except ImportError:
            continue
    raise Unsupported("unsupported: zstd compression (it needs the Python package backports.zstd)")


FORMATS: dict[str, tuple[bytes, Callable[[], Any]]] = {
    "gzip": (b"\x1f\x8b", _Zlib),
    "bzip2": (b"BZh", bz2.BZ2Decompressor),
    "xz": (b"\xfd7zXZ\0", lzma.LZMADecompressor),
    "zstd": (b"\x28\xb5\x2f\xfd", _zstandard),
}
MAGIC_LENGTH = 6


def compression(beginning: bytes) -> str:
    """The compression that data with this beginning has; "" for none that we know."""
    return next((name for name, (magic, _) in FORMATS.items() if beginning.startswith(magic)), "")


class Inflated:
    """The uncompressed bytes of a reader, whatever its compression, in bounded memory."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._start = b""
        while len(self._start) < MAGIC_LENGTH and (data := source.read(PIECE)):
            self._start += data
        self.compression = compression(self._start)
        self._inner: Any = FORMATS[self.compression][1]() if self.compression else None

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; b"" at the end. Raises Invalid for damaged data."""
        if self._inner is None:
            data, self._start = self._start[:size], self._start[size:]
            return data or self._source.read(size)
        try:
            return self._inflate(size)
        except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
            raise Invalid(f"cannot decompress {self.compression} data: {error}") from error
        except Exception as error:  # its class is in a module that need not be there
            if type(error).__name__ == "ZstdError":
                raise Invalid(f"cannot decompress zstd data: {error}") from error
            raise

    def _inflate(self, size: int) -> bytes:
        while True:
            if self._inner.eof and not self._next_member():
                return b""
            data = b""
            if self._inner.needs_input:
                data = self._take()
                if not data:
                    raise EOFError("it ends too early")
            found: bytes = self._inner.decompress(data, size)
            if found:
                return found

    def _take(self) -> bytes:
        data, self._start = self._start, b""
        return data or self._source.read(64 * 1024)

    def _next_member(self) -> bool:
        """Compressed data may be several streams one after another; zeros may follow as padding."""
        rest = self._inner.unused_data + self._start
        self._start = b""
        while True:
            rest = rest.lstrip(b"\0")
            if len(rest) >= MAGIC_LENGTH or not (data := self._source.read(64 * 1024)):
                break
            rest += data
        magic, make = FORMATS[self.compression]
        if not rest.startswith(magic):
            return False
        self._start = rest
        self._inner = make()
        return True


def beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAGIC_LENGTH)
