"""JSON values one after another on a stream: each ends with a line end. Pure: no I/O."""

import msgspec

_encoder = msgspec.json.Encoder()


def line(value: object, end: bytes = b"\n") -> bytes:
    """One value as a line. Progress streams of the Docker API end their lines with CR LF."""
    return _encoder.encode(value) + end
