"""The bytes of a tar stream from a descriptor: plain, or decompressed by what its first bytes say.

Call `open_source` before the chroot, because it may load a codec or start a program. Every byte is also hashed where
that is asked for. It must never hold more than a few chunks in memory.
"""

from __future__ import annotations

import os

from boxship.errors import Invalid, Unsupported

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

CHUNK_BYTES = 1 << 20
_MEMORY_LIMIT_BYTES = 512 << 20  # of the xz decoder
_ZSTD_PROGRAMS = ("/usr/bin/zstd", "/bin/zstd", "/usr/local/bin/zstd")


class Truncated(Exception):
    """The stream ended within something."""


class Source:
    """Reads exact amounts out of a sequence of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or b"" where the stream ended before the first of them."""
        buffer = self._buffer
        if len(buffer) >= size:
            self._buffer = buffer[size:]
            return bytes(buffer[:size])
        parts = list(self.pieces(size, empty_is_end=True))
        return b"".join(parts)

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, which stay; fewer where the stream ends before."""
        while len(self._buffer) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._buffer = memoryview(bytes(self._buffer) + chunk)
        return bytes(self._buffer[:size])

    def pieces(self, size: int, *, empty_is_end: bool = False) -> Iterator[memoryview]:
        """Exactly `size` bytes in pieces; Truncated where the stream ends before."""
        left = size
        while left:
            if not self._buffer:
                chunk = next(self._chunks, b"")
                if not chunk:
                    if empty_is_end and left == size:
                        return
                    raise Truncated
                self._buffer = memoryview(chunk)
            piece = self._buffer[:left]
            self._buffer = self._buffer[len(piece) :]
            left -= len(piece)
            yield piece

    def skip(self, size: int) -> None:
        """Leave bytes out."""
        for _ in self.pieces(size):
            pass

    def drain(self) -> None:
        """Read to the end, so that the writer finishes and the hash covers everything."""
        self._buffer = memoryview(b"")
        for _ in self._chunks:
            pass


def open_source(descriptor: int, update: Callable[[bytes], Any] | None = None) -> Source:
    """The tar stream behind a descriptor, plain or compressed; `update` sees every plain byte."""
    first = b""
    while len(first) < 6:
        more = os.read(descriptor, CHUNK_BYTES)
        if not more:
            break
        first += more
    chunks = _decompressed(descriptor, first)
    return Source(_hashed(chunks, update) if update else chunks)


def _hashed(chunks: Iterator[bytes], update: Callable[[bytes], Any]) -> Iterator[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk


def _raw(descriptor: int, first: bytes) -> Iterator[bytes]:
    if first:
        yield first
    while chunk := os.read(descriptor, CHUNK_BYTES):
        yield chunk


def _decompressed(descriptor: int, first: bytes) -> Iterator[bytes]:
    raw = _raw(descriptor, first)
    if first[:2] == b"\x1f\x8b":
        import zlib  # now: nothing can be imported from within a generator that runs after the chroot

        return _gzip(raw, zlib)
    if first[:3] == b"BZh":
        try:
            import bz2
        except ImportError as error:
            raise Unsupported("unsupported: bzip2 (this Python has no bz2 module)") from error
        return _members(raw, bz2.BZ2Decompressor, "bzip2", (OSError, ValueError))
    if first[:6] == b"\xfd7zXZ\x00":
        try:
            import lzma
        except ImportError as error:
            raise Unsupported("unsupported: xz (this Python has no lzma module)") from error

        def decoder() -> Any:
            return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY_LIMIT_BYTES)

        return _members(raw, decoder, "xz", (lzma.LZMAError,))
    if first[:4] == b"\x28\xb5\x2f\xfd" or (first[1:4] == b"\x2a\x4d\x18" and 0x50 <= first[0] <= 0x5F):
        codec = _zstd_codec()
        if codec is not None:
            return _members(raw, codec.ZstdDecompressor, "zstd", (codec.ZstdError,))
        return _zstd(raw)
    return raw


def _gzip(raw: Iterator[bytes], zlib: Any) -> Iterator[bytes]:
    decoder = zlib.decompressobj(31)
    started = False
    for chunk in raw:
        while chunk:
            if decoder.eof:
                if not chunk.strip(b"\0"):
                    break  # padding behind the last member, as tapes have it
                decoder = zlib.decompressobj(31)
            try:
                plain = decoder.decompress(chunk, CHUNK_BYTES)
            except zlib.error as error:
                raise Invalid(f"cannot decompress the gzip stream: {error}") from error
            started = True
            if plain:
                yield plain
            chunk = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    while started and not decoder.eof:
        plain = decoder.decompress(b"", CHUNK_BYTES)
        if not plain:
            raise Truncated
        yield plain


def _members(
    raw: Iterator[bytes],
    make: Callable[[], Any],
    name: str,
    failures: tuple[type[Exception], ...],
) -> Iterator[bytes]:
    """Streams of bzip2 and xz: several members may follow each other."""
    decoder = make()
    for chunk in raw:
        pending: bytes | None = chunk
        while pending is not None:
            if decoder.eof:
                pending = pending.lstrip(b"\0")
                if not pending:
                    break
                decoder = make()
            try:
                plain = decoder.decompress(pending, CHUNK_BYTES)
            except failures as error:
                raise Invalid(f"cannot decompress the {name} stream: {error}") from error
            if plain:
                yield plain
            rest = decoder.unused_data if decoder.eof else b""
            pending = rest if rest or not (decoder.eof or decoder.needs_input) else None
    if not decoder.eof:
        raise Truncated


def _zstd_codec() -> Any:
    """Python's own module for zstd, or its backport from the daemon's packages; None where there is neither."""
    import importlib

    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _zstd(raw: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress by the system's program, fed by a thread."""
    import _thread

    program = next((path for path in _ZSTD_PROGRAMS if os.access(path, os.X_OK)), None)
    if program is None:
        raise Unsupported("unsupported: zstd (the program zstd is not installed)")
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, in_read, 0), (os.POSIX_SPAWN_DUP2, out_write, 1)]
    pid = os.posix_spawn(program, ["zstd", "-dcq"], {}, file_actions=actions)
    os.close(in_read)
    os.close(out_write)

    def feed() -> None:
        try:
            for chunk in raw:
                view = memoryview(chunk)
                while view:
                    view = view[os.write(in_write, view) :]
        except OSError:
            pass  # the program ended: its exit status says why
        finally:
            os.close(in_write)

    _thread.start_new_thread(feed, ())

    def plain() -> Iterator[bytes]:
        while chunk := os.read(out_read, CHUNK_BYTES):
            yield chunk
        os.close(out_read)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
            raise Invalid("cannot decompress the zstd stream: it is damaged or ends too early")

    return plain()
