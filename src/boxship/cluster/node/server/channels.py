"""A client's end of exec and attach, whatever carries it; and the one over a WebSocket.

Each message on the WebSocket begins with the number of its channel (`v4.channel.k8s.io`, `v5.channel.k8s.io`): 0 is
the process's input, 1 and 2 its outputs, 3 how it ended, 4 the terminal's size; 255 (v5) closes another one. The base64
forms have the number as a digit and base64 behind it.
"""

import base64
import binascii
from typing import Protocol

import msgspec

from boxship.transport.exchange import WebSocket

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PIECE_BYTES = 64 << 10  # of one message
# What a client may ask for, in the order in which we like them; "" is what clients without a word speak.
PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)


class Sent(msgspec.Struct, frozen=True):
    """What came from a client; `ends`: nothing more comes on that channel."""

    channel: int
    data: bytes = b""
    ends: bool = False


class ClientEnd(Protocol):
    """The client's end of a process's streams."""

    tells_status: bool  # as an object; else only what went wrong, as text

    async def receive(self) -> Sent | None:
        """The next thing that it sends; None: it is away."""

    async def send(self, channel: int, data: bytes) -> None:
        """At the client's pace. Raises Canceled when it is away."""

    async def close(self) -> None:
        """Say that nothing more comes, and end. May be called twice."""


def choose(offered: str) -> str | None:
    """The protocol of those in a Sec-WebSocket-Protocol field; None: none that we speak."""
    words = [word.strip() for word in offered.split(",") if word.strip()]
    if not words:
        return ""
    return next((protocol for protocol in PROTOCOLS if protocol in words), None)


class Channels:
    """Implements ClientEnd over a WebSocket."""

    def __init__(self, socket: WebSocket, protocol: str) -> None:
        self._socket = socket
        self._base64 = "base64" in protocol
        self._closes = protocol.startswith("v5.")
        self.tells_status = protocol.startswith(("v4.", "v5."))

    async def greet(self, stdout: bool, stderr: bool) -> None:
        """An empty message: the streams are open. Who speaks the fifth version knows it, and such clients before 1.34
        complain of what comes before they have made their streams."""
        if self._closes:
            return
        await self.send(STDOUT if stdout else STDERR if stderr else ERROR, b"")

    async def receive(self) -> Sent | None:
        while True:
            message = await self._socket.receive()
            if message is None:
                return None
            found = self._read(message)
            if found is not None:
                return found

    def _read(self, message: bytes) -> Sent | None:
        if not message:
            return None
        if self._base64:
            try:
                return Sent(message[0] - 48, base64.b64decode(message[1:], validate=True))
            except binascii.Error:
                return None
        if self._closes and message[0] == CLOSE:
            return Sent(message[1], ends=True) if len(message) > 1 else None
        return Sent(message[0], message[1:])

    async def send(self, channel: int, data: bytes) -> None:
        for start in range(0, max(len(data), 1), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            if self._base64:
                await self._socket.send_text(b"%d" % channel + base64.b64encode(piece))
            else:
                await self._socket.send(bytes((channel,)) + piece)

    async def close(self) -> None:
        await self._socket.close()
