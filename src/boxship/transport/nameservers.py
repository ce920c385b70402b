"""Questions passed on to nameservers: those of the host, or of the container's own --dns, from the process's namespace.

Over UDP from a port and under an id that nobody can guess, over TCP where the answer was cut; the next nameserver where
one does not answer. The asker's message goes out as it came, so that EDNS and its options survive.
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import cast

from boxship.errors import Timeout, Unavailable
from boxship.wire import dns

PORT = 53
ANSWER_SECONDS = 2.0  # for one nameserver
WHOLE_SECONDS = 8.0  # for all of them
ROUNDS = 2
CONCURRENT_QUERIES = 1024


class _Exchange(asyncio.DatagramProtocol):
    """One question over UDP; answers that do not belong to it are passed over."""

    def __init__(self, question: dns.Question, number: int) -> None:
        self._question = question
        self._number = number
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sender = cast(asyncio.DatagramTransport, transport)  # uvloop's is none by class
        sender.sendto(dns.with_id(self._question.message, self._number))

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.answer.done() and dns.answers(self._question, data, self._number):
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.cancel()


class Upstream:
    """Asks nameservers; at most CONCURRENT_QUERIES at once, further ones fail at once."""

    def __init__(self, port: int = PORT) -> None:
        self._port = port
        self._running = 0

    async def ask(self, question: dns.Question, nameservers: Sequence[str]) -> bytes:
        """The answer of the first nameserver that gives one, under the question's own id. Unavailable or Timeout."""
        if self._running >= CONCURRENT_QUERIES:
            raise Unavailable(f"cannot resolve {question.name}: too many queries at once")
        self._running += 1
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                return await self._ask_each(question, nameservers)
        except TimeoutError:
            raise Timeout(f"cannot resolve {question.name}: no nameserver answered in time") from None
        finally:
            self._running -= 1

    async def _ask_each(self, question: dns.Question, nameservers: Sequence[str]) -> bytes:
        own = dns.message_id(question.message)
        failed: bytes | None = None
        for _ in range(ROUNDS):
            for address in nameservers:
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        data = await self._ask_one(question, address)
                except (OSError, TimeoutError, asyncio.IncompleteReadError):
                    continue
                if data[3] & 0x0F == dns.SERVER_FAILURE:
                    failed = data  # another one may know better
                    continue
                return dns.with_id(data, own)
            if failed:
                return dns.with_id(failed, own)
        raise Unavailable(f"cannot resolve {question.name}: no nameserver answered")

    async def _ask_one(self, question: dns.Question, address: str) -> bytes:
        number = secrets.randbelow(0x10000)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _Exchange(question, number), remote_addr=(address, self._port)
        )
        try:
            data = await protocol.answer
        finally:
            transport.close()
        return await self._ask_whole(question, address) if dns.is_truncated(data) else data

    async def _ask_whole(self, question: dns.Question, address: str) -> bytes:
        """The same over TCP."""
        number = secrets.randbelow(0x10000)
        message = dns.with_id(question.message, number)
        reader, writer = await asyncio.open_connection(address, self._port)
        try:
            writer.write(len(message).to_bytes(2, "big") + message)
            size = int.from_bytes(await reader.readexactly(2), "big")
            data = await reader.readexactly(size)
        finally:
            writer.close()
        if not dns.answers(question, data, number):
            raise OSError(f"{address} answered something else")
        return data
