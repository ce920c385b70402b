"""Docker's multiplexed stream: frames of one byte stream number, three zero bytes, a big-endian length and the data.

Pure: bytes to frames and back, no I/O.
"""

import struct
from collections.abc import Iterator

STDIN, STDOUT, STDERR, SYSTEM = 0, 1, 2, 3
HEADER_BYTES = 8
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"

_header = struct.Struct(">BxxxL")


def frame(stream: int, data: bytes) -> bytes:
    """One frame. `stream` is STDOUT, STDERR, …"""
    return _header.pack(stream, len(data)) + data


class FrameReader:
    """Cuts a stream of bytes into frames, however the bytes were cut on their way."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(stream, data) of every frame that is whole by now. Raises ValueError on bytes that are no frame."""
        self._held += data
        while len(self._held) >= HEADER_BYTES:
            stream, length = _header.unpack_from(self._held)
            if stream > SYSTEM or any(self._held[1:4]):
                raise ValueError(f"no stream frame: {bytes(self._held[:HEADER_BYTES]).hex()}")
            if len(self._held) < HEADER_BYTES + length:
                return
            payload = bytes(self._held[HEADER_BYTES : HEADER_BYTES + length])
            del self._held[: HEADER_BYTES + length]
            yield stream, payload

    @property
    def unfinished(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._held)
