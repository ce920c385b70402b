"""A client's end of input: the end of the process's, or of the client's own view."""

from collections.abc import AsyncIterator
from typing import cast

import pytest

from boxship.engine.attachments import Streams
from boxship.runtime.attach import Attached


class Process:
    """The far end of an attach socket."""

    def __init__(self) -> None:
        self.read = b""
        self.input_ended = self.let_go = False

    async def write(self, data: bytes) -> None:
        self.read += data

    async def close_stdin(self) -> None:
        self.input_ended = True

    def close(self) -> None:
        self.let_go = True

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        return
        yield


@pytest.mark.asyncio
@pytest.mark.parametrize("ends_with_input", [False, True])
async def test_the_end_of_a_clients_input(ends_with_input: bool) -> None:
    process = Process()
    streams = Streams(tty=False, wanted=frozenset({1}), takes_input=True, ends_with_input=ends_with_input)
    streams.join(cast(Attached, process))
    await streams.write(b"words")
    await streams.end_input()
    await streams.write(b"too late")
    assert process.read == b"words"
    assert (process.input_ended, process.let_go) == (not ends_with_input, ends_with_input)
    await streams.close()
    assert process.let_go


@pytest.mark.asyncio
async def test_who_sends_nothing_keeps_listening() -> None:
    process = Process()
    streams = Streams(tty=False, wanted=frozenset({1}), takes_input=False)
    streams.join(cast(Attached, process))
    await streams.end_input()
    assert not process.input_ended and not process.let_go
