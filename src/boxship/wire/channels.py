"""Several byte streams and messages on one connection: frames of a kind, a stream's number, a length and the data.

Pure: bytes to frames and back, no I/O; quick to import, because the command line uses it. One side numbers its streams
with odd numbers and the other with even ones, if both open some.
"""

import struct
from collections.abc import Iterator

MESSAGE = 1  # JSON from one side to the other; the stream's number says which kind of message
DATA = 2  # bytes of a stream
END = 3  # nothing more of a stream comes from this side
OPEN = 4  # a new stream; the data say where to

KINDS = (MESSAGE, DATA, END, OPEN)
HEADER_BYTES = 8
FRAME_BYTES = 16 << 20  # the longest frame that a reader takes
PIECE_BYTES = 256 << 10  # how senders cut their data

_header = struct.Struct(">BxHL")


def frame(kind: int, stream: int, data: bytes = b"") -> bytes:
    """One frame."""
    return _header.pack(kind, stream, len(data)) + data


class ChannelReader:
    """Cuts a stream of bytes into frames, however the bytes were cut on their way."""

    def __init__(self, limit: int = FRAME_BYTES) -> None:
        self._held = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """(kind, stream, data) of every frame that is whole by now. Raises ValueError on bytes that are no frame and on
        frames that are too long."""
        self._held += data
        start = 0
        try:
            while len(self._held) - start >= HEADER_BYTES:
                kind, stream, length = _header.unpack_from(self._held, start)
                if kind not in KINDS or self._held[start + 1]:
                    raise ValueError(f"no frame: {bytes(self._held[start : start + HEADER_BYTES]).hex()}")
                if length > self._limit:
                    raise ValueError(f"a frame of {length} bytes: at most {self._limit} are taken")
                end = start + HEADER_BYTES + length
                if len(self._held) < end:
                    return
                payload = bytes(memoryview(self._held)[start + HEADER_BYTES : end])
                start = end
                yield kind, stream, payload
        finally:
            del self._held[:start]

    @property
    def unfinished(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._held)
