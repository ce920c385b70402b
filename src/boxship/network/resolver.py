"""The resolver at 127.0.0.11 of containers on user-defined networks, served on the daemon's loop.

Names of the container's own networks are answered from the directory; everything else is passed on, unless no network
of the container leads out. A container can only ever slow down itself: its queries and connections are counted.
"""

import asyncio
import logging
from typing import cast

import msgspec

from boxship.errors import BoxshipError, Invalid
from boxship.network import attaching, files
from boxship.network.background import Background
from boxship.network.directory import Directory
from boxship.network.elsewhere import Elsewhere
from boxship.network.hostfiles import HostFiles
from boxship.network.model import AttachmentRecord
from boxship.sys import sockets
from boxship.transport.nameservers import Upstream
from boxship.wire import dns

log = logging.getLogger(__name__)

QUERIES_PER_CONTAINER = 256
CONNECTIONS_PER_CONTAINER = 32
IDLE_SECONDS = 10
PASSING_SECONDS = 1  # how long anybody may remember the addresses of a service group


class Policy(msgspec.Struct, frozen=True):
    """How a container's questions are treated."""

    container_id: str
    forwards: bool
    nameservers: tuple[str, ...]  # the container's own; empty: the host's
    keeps_short_names: bool  # names without a dot stay here, because search domains are meant to complete them


def policy_of(record: AttachmentRecord) -> Policy:
    return Policy(
        container_id=record.container_id,
        forwards=attaching.way_out(record) is not None,
        nameservers=record.dns,
        keeps_short_names=files.wants_dots(record.dns_options),
    )


class Answerer:
    """Answers one question for one container."""

    def __init__(self, directory: Directory, upstream: Upstream, host: HostFiles, elsewhere: Elsewhere) -> None:
        self._directory = directory
        self._upstream = upstream
        self._host = host
        self._elsewhere = elsewhere

    def at_once(self, policy: Policy, data: bytes, *, stream: bool) -> bytes | dns.Question | None:
        """The answer where it can be told without asking anybody, else the question; None where none can be given."""
        try:
            question = dns.parse_question(data)
        except Invalid:
            return dns.failure_for(data, dns.NOT_IMPLEMENTED)
        try:
            found = self._local(policy, question) or self._known_elsewhere(policy, question, stream)
            return question if found is None else self._fit(question, found, stream)
        except BoxshipError:
            return dns.answer_code(question, dns.SERVER_FAILURE)

    async def passed_on(self, policy: Policy, question: dns.Question, *, stream: bool) -> bytes:
        """The answer of somebody else, or the code of a failure."""
        try:
            if policy.forwards and (others := self._elsewhere.owner(question.name)) is not None:
                answer = await others.answer(question.message, stream=stream)
                return answer or dns.answer_code(question, dns.SERVER_FAILURE)
            return self._fit(question, await self._forward(policy, question), stream)
        except BoxshipError as error:
            log.debug("resolver of %s: %s", policy.container_id[:12], error)
            return dns.answer_code(question, dns.SERVER_FAILURE)

    def _fit(self, question: dns.Question, answer: bytes, stream: bool) -> bytes:
        return answer if stream else dns.shorten(question, answer)

    def _local(self, policy: Policy, question: dns.Question) -> bytes | None:
        """An answer from the container's own networks, or None where the name is not theirs."""
        if question.kind == "PTR":
            name = self._directory.name(policy.container_id, dns.pointer_address(question.name))
            return dns.answer_pointer(question, name) if name else None
        found = self._directory.look_up(policy.container_id, question.name)
        seconds = PASSING_SECONDS if found.passing else dns.TTL_SECONDS
        return dns.answer_addresses(question, found.addresses, seconds) if found.addresses else None

    def _known_elsewhere(self, policy: Policy, question: dns.Question, stream: bool) -> bytes | None:
        """What the cluster's nameserver says at once. A container whose networks lead nowhere could not go there."""
        others = self._elsewhere.owner(question.name) if policy.forwards else None
        return others.at_once(question.message, stream=stream) if others is not None else None

    async def _forward(self, policy: Policy, question: dns.Question) -> bytes:
        if not policy.forwards:
            return dns.answer_code(question, dns.SERVER_FAILURE)
        if policy.keeps_short_names and "." not in question.name and question.kind in ("A", "AAAA"):
            return dns.answer_code(question, dns.NAME_ERROR)
        nameservers = policy.nameservers or self._host.config.nameservers or files.FALLBACK_NAMESERVERS
        return await self._upstream.ask(question, nameservers)


class _Datagrams(asyncio.DatagramProtocol):
    """A container's questions over UDP."""

    def __init__(self, served: "_Served") -> None:
        self._served = served
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's is none by class

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        served = self._served
        found = served.answerer.at_once(served.policy, data, stream=False)
        if isinstance(found, bytes):
            self._send(found, addr)
        elif found is not None and len(served.background) < QUERIES_PER_CONTAINER:
            served.background.start(self._pass_on(found, addr), "DNS answer")

    async def _pass_on(self, question: dns.Question, addr: tuple[str, int]) -> None:
        self._send(await self._served.answerer.passed_on(self._served.policy, question, stream=False), addr)

    def _send(self, answer: bytes, addr: tuple[str, int]) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.sendto(answer, addr)


class _Served:
    """The resolver of one container: its sockets, its policy and the questions under way."""

    def __init__(self, answerer: Answerer, policy: Policy) -> None:
        self.answerer = answerer
        self.policy = policy
        self.background = Background()
        self._writers: set[asyncio.StreamWriter] = set()
        self._transport: asyncio.BaseTransport | None = None
        self._server: asyncio.AbstractServer | None = None

    async def open(self, opened: sockets.ResolverSockets) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=opened.datagram)
        self._server = await asyncio.start_server(self._converse, sock=opened.stream)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Questions over one TCP connection, one after the other."""
        self._writers.add(writer)
        try:
            while len(self._writers) <= CONNECTIONS_PER_CONTAINER:
                async with asyncio.timeout(IDLE_SECONDS):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(size)
                answer = self.answerer.at_once(self.policy, data, stream=True)
                if isinstance(answer, dns.Question):
                    answer = await self.answerer.passed_on(self.policy, answer, stream=True)
                if answer is None:
                    break
                writer.write(len(answer).to_bytes(2, "big") + answer)
                async with asyncio.timeout(IDLE_SECONDS):
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def close(self) -> None:
        """Close everything in the container's namespace, which would live on otherwise."""
        if self._transport:
            self._transport.close()
        if self._server:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()


class Resolver:
    """All containers' resolvers."""

    def __init__(
        self, directory: Directory, upstream: Upstream, host: HostFiles, elsewhere: Elsewhere | None = None
    ) -> None:
        self._answerer = Answerer(directory, upstream, host, elsewhere or Elsewhere())
        self._served: dict[str, _Served] = {}
        self._background = Background()

    @property
    def served(self) -> frozenset[str]:
        return frozenset(self._served)

    async def serve(self, record: AttachmentRecord, opened: sockets.ResolverSockets) -> None:
        """Answer at these sockets, which belong to the resolver from now on."""
        self.stop(record.container_id)
        served = _Served(self._answerer, policy_of(record))
        self._served[record.container_id] = served
        await served.open(opened)

    def update(self, record: AttachmentRecord) -> None:
        """The container's networks changed."""
        if record.container_id in self._served:
            self._served[record.container_id].policy = policy_of(record)

    def stop(self, container_id: str) -> None:
        served = self._served.pop(container_id, None)
        if served:
            served.close()
            self._background.start(served.background.close(), "end of a resolver")

    async def close(self) -> None:
        for container_id in list(self._served):
            self.stop(container_id)
        while len(self._background):
            await asyncio.sleep(0)
        await self._background.close()
