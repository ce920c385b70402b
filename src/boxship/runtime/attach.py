"""A client's hold on the standard streams of a process, through conmon's attach socket.

conmon sends each piece of output as one message whose first byte is the stream (2 stdout, 3 stderr in conmon's
counting), and takes stdin as raw messages. Half-close of the socket is the end of stdin where conmon was told so. A
process that writes more than the client reads waits: nothing is dropped.
"""

from collections.abc import AsyncIterator

from boxship.sys.seqpacket import SeqpacketConnection

MESSAGE_BYTES = 1 << 16  # conmon sends at most 8 KiB and one byte
WRITE_BYTES = 8192  # conmon's buffer holds 32 KiB
STREAMS = {2: 1, 3: 2}  # conmon's number → ours


class Attached:
    """`async for stream, data in attached`: stream 1 is stdout (or the terminal), 2 stderr."""

    def __init__(self, connection: SeqpacketConnection, *, owns_stdin: bool = True) -> None:
        """Without `owns_stdin`, closing does not end a stdin that ends with its first client."""
        self._connection = connection
        self._owns_stdin = owns_stdin
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        while not self._closed and (message := await self._connection.receive(MESSAGE_BYTES)):
            stream = STREAMS.get(message[0])
            if stream is not None and len(message) > 1:
                yield stream, message[1:]

    async def write(self, data: bytes) -> None:
        """Send to stdin. Data for a process that has ended, or closed its stdin, is dropped."""
        view = memoryview(data)
        for start in range(0, len(view), WRITE_BYTES):
            if not await self._connection.send(view[start : start + WRITE_BYTES]):
                return

    async def close_stdin(self) -> None:
        """The client will send nothing more; output goes on."""
        self._connection.end_sending()

    def close(self) -> None:
        """Let go; the process goes on. Safe to call twice."""
        self._closed = True
        if self._owns_stdin:
            self._connection.close()
        else:
            self._connection.abandon()
