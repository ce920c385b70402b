"""Sockets that DNS questions come to: UDP and TCP on each place. A place whose address is not there yet is bound all
the same, so that nobody has to wait for an interface. What an asker may have under way is counted."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from typing import Protocol, cast

from boxship.errors import Internal
from boxship.wire.dns_quick import STREAM_LIMIT

log = logging.getLogger(__name__)

CONCURRENT = 4096  # questions that wait for somebody else
CONNECTIONS = 1024
IDLE_SECONDS = 10.0
RECEIVE_BYTES = 4 * 1024 * 1024  # that the kernel keeps while the loop is busy
AGAIN_SECONDS = 2.0  # until a place that is taken is tried again
IP_FREEBIND = 15  # Linux; Python has no name for it


class Answers(Protocol):
    def at_once(self, data: bytes, *, stream: bool = False) -> bytes | None:
        """None: it takes asking somebody."""

    async def answer(self, data: bytes, asker: str = "", *, stream: bool = False) -> bytes | None:
        """None: there is nothing to say to that."""


class NameServer:
    """Implements nothing: it is run."""

    def __init__(self, answers: Answers, places: Sequence[tuple[str, int]]) -> None:
        self._answers = answers
        self._places = tuple(places)
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    async def run(self) -> None:
        """Without end. A place that somebody else has is tried again."""
        async with asyncio.TaskGroup() as tasks:
            for address, port in self._places:
                tasks.create_task(self._serve(address, port))
            tasks.create_task(asyncio.Event().wait())

    async def _serve(self, address: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        told = False
        while True:
            try:
                datagram, stream = open_pair(address, port)
                break
            except Internal as error:
                if not told:
                    log.warning("%s", error)
                told = True
                await asyncio.sleep(AGAIN_SECONDS)
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagram)
        try:
            server = await asyncio.start_server(self._converse, sock=stream)
            async with server:
                await server.serve_forever()
        finally:
            transport.close()
            for task in list(self._tasks):
                task.cancel()

    def take(self, data: bytes, asker: tuple[str, int], transport: asyncio.DatagramTransport) -> None:
        """A datagram came."""
        answer = self._answers.at_once(data)
        if answer is not None:
            transport.sendto(answer, asker)
        elif len(self._tasks) < CONCURRENT:
            task = asyncio.get_running_loop().create_task(self._pass_on(data, asker, transport))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, data: bytes, asker: tuple[str, int], transport: asyncio.DatagramTransport) -> None:
        answer = await self._answers.answer(data, asker[0])
        if answer is not None and not transport.is_closing():
            transport.sendto(answer, asker)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Questions over one TCP connection, one after the other."""
        self._connections += 1
        asker = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            while self._connections <= CONNECTIONS:
                async with asyncio.timeout(IDLE_SECONDS):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(size)
                answer = self._answers.at_once(data, stream=True)
                if answer is None:
                    answer = await self._answers.answer(data, asker, stream=True)
                if answer is None or len(answer) > STREAM_LIMIT:
                    break
                writer.write(len(answer).to_bytes(2, "big") + answer)
                async with asyncio.timeout(IDLE_SECONDS):
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections -= 1
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's is none by class

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._server.take(data, addr, self._transport)


def open_pair(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A bound UDP socket and a listening TCP socket. Raises Internal."""
    opened: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            one = socket.socket(socket.AF_INET, kind)
            opened.append(one)
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
            if kind == socket.SOCK_STREAM:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            else:
                with contextlib.suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            one.bind((address, port))
    except OSError as error:
        for one in opened:
            one.close()
        raise Internal(f"cannot answer names on {address}:{port}: {error.strerror}") from error
    return opened[0], opened[1]
