"""A piece of a container's output, as logs read it and doors send it."""

import msgspec


class LogRecord(msgspec.Struct, frozen=True):
    """A piece of output: `stream` is 1 for stdout and 2 for stderr, `time` nanoseconds since the epoch; `data` ends
    with a newline unless the line was cut (`partial`)."""

    stream: int
    time: int
    data: bytes
    partial: bool = False
