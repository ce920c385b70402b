"""JSON values one after another on a stream: each ends with a line end. Pure: no I/O."""

from collections.abc import Iterator
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def line(value: object, end: bytes = b"\n") -> bytes:
    """One value as a line. Progress streams of the Docker API end their lines with CR LF."""
    return _encoder.encode(value) + end


class LineReader:
    """Cuts a stream of bytes into JSON values. A line may hold at most `limit` bytes."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self._held = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> Iterator[Any]:
        """Every value whose line is whole by now. Raises ValueError on a line that is too long or no JSON."""
        self._held += data
        while (end := self._held.find(b"\n")) >= 0:
            text = bytes(self._held[:end]).strip()
            del self._held[: end + 1]
            if text:
                yield _decoder.decode(text)
        if len(self._held) > self._limit:
            raise ValueError(f"line longer than {self._limit} bytes")

    def finish(self) -> Iterator[Any]:
        """The last value, where the stream ended without a line end."""
        yield from self.feed(b"\n")
