"""A question in, an answer out. What the zone knows is told at once; the rest is asked of the host's nameservers, each
question once however many wait for it, so that a circle of nameservers ends here as well."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from boxship.cluster.dns.facts import packed_address
from boxship.cluster.dns.remembered import Name, Remembered, name_of
from boxship.cluster.dns.zone import SECONDS, Found, Zone
from boxship.errors import BoxshipError, Unavailable
from boxship.wire import dns
from boxship.wire import dns_quick as wire

log = logging.getLogger(__name__)

PREPARED = 20_000  # answers of the zone that lie ready
NEIGHBOUR_SECONDS = 1  # that anybody may remember a container's address
WAITING = 2048  # questions under way
DOCKER = ("docker", "internal")
REVERSE = ("in-addr", "arpa")


class Neighbours(Protocol):
    """The containers of the machine's own networks, for pods."""

    def addresses_of(self, name: str, network: str) -> Sequence[str]:
        """IPv4 addresses of a container's name or alias on a network ("": on whichever has it, where only one has)."""

    def name_of(self, address: str) -> str:
        """ "NAME.NETWORK", or "" where it is nobody's."""


class Upstream(Protocol):
    async def ask(self, question: dns.Question, nameservers: Sequence[str]) -> bytes:
        """Raises Unavailable or Timeout."""


class Passing(msgspec.Struct, frozen=True):
    """A question for others, and the records that come before their answer."""

    asked: wire.Asked
    before: Found | None = None


class Answerer:
    """`nameservers` are those of the host now, `own` the texts of addresses that this one listens on."""

    def __init__(
        self,
        zone: Zone,
        upstream: Upstream,
        nameservers: Callable[[], Sequence[str]],
        own: Sequence[str] = (),
        neighbours: Neighbours | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._zone = zone
        self._upstream = upstream
        self._nameservers = nameservers
        self._own = frozenset(own)
        self._neighbours = neighbours
        self._clock = clock
        self._remembered = Remembered()
        self._prepared: dict[tuple[bytes, int], Found] = {}
        self._waiting: dict[Name, asyncio.Future[bytes]] = {}

    def forget(self) -> None:
        """The zone changed."""
        self._prepared.clear()

    def failure(self, data: bytes) -> bytes | None:
        """The answer to a name of the zone as long as the zone is not known; None: it is no such name."""
        asked = wire.read(data)
        if asked is None or not self._zone.owns(asked.labels):
            return None
        return wire.reply(asked, data, code=wire.SERVER_FAILURE, authoritative=False)

    def at_once(self, data: bytes, *, stream: bool = False) -> bytes | Passing | None:
        """The answer where it needs nobody else; None where none can be given."""
        asked = wire.read(data)
        if asked is None:
            return dns.failure_for(data, dns.NOT_IMPLEMENTED)
        limit = wire.STREAM_LIMIT if stream else asked.limit
        found = self._prepared.get((asked.name, asked.kind))
        if found is not None:
            return self._told(asked, data, found, limit)
        if asked.version:
            return wire.reply(asked, data, code=wire.VERSION_ERROR, authoritative=False)
        if asked.kind in (wire.AXFR, wire.IXFR):
            return wire.reply(asked, data, code=wire.REFUSED, authoritative=False)
        labels = asked.labels
        if self._zone.owns(labels):
            found = self._zone.find(labels, asked.kind)
            if found.elsewhere and asked.kind != wire.CNAME:
                return Passing(asked, found)
        else:
            found = self._local(labels, asked.kind)
        if found is not None:
            if len(self._prepared) >= PREPARED:
                self._prepared.clear()
            if self._zone.owns(labels):
                self._prepared[(asked.name, asked.kind)] = found
            return self._told(asked, data, found, limit)
        known = self._remembered.get(asked, self._clock())
        if known is not None:
            return self._fitted(asked, data, known, limit)
        return Passing(asked)

    async def passed_on(self, passing: Passing, data: bytes, *, stream: bool = False) -> bytes:
        """The answer of others, or the code of a failure."""
        asked, limit = passing.asked, wire.STREAM_LIMIT if stream else passing.asked.limit
        before = passing.before
        try:
            if before is None:
                return self._fitted(asked, data, await self._ask(asked), limit)
            other = msgspec.structs.replace(asked, name=wire.encode_name(before.elsewhere))
            records = dns.records_of(await self._ask(other), asked.kind)
        except BoxshipError as error:
            log.debug("cannot resolve %s: %s", ".".join(asked.labels), error)
            return wire.reply(asked, data, code=wire.SERVER_FAILURE, authoritative=False)
        answers = [*before.answers, *records]
        return wire.reply(asked, data, answers, limit=limit)

    async def _ask(self, asked: wire.Asked) -> bytes:
        """The answer of a nameserver, under the asker's id. Raises BoxshipError."""
        known = self._remembered.get(asked, self._clock())
        if known is not None:
            return known
        name = name_of(asked)
        under_way = self._waiting.get(name)
        if under_way is None:
            if len(self._waiting) >= WAITING:
                raise Unavailable(f"cannot resolve {'.'.join(asked.labels)}: too many questions at once")
            under_way = self._waiting[name] = asyncio.get_running_loop().create_future()
            try:
                answer = await self._upstream.ask(self._question(asked), self._others())
            except BaseException as error:
                ours = isinstance(error, BoxshipError)
                under_way.set_exception(error if ours else Unavailable("cannot resolve a name: given up"))
                under_way.exception()  # nobody may wait for it
                raise
            else:
                self._remembered.put(asked, answer, self._clock())
                under_way.set_result(answer)
            finally:
                del self._waiting[name]
        else:
            answer = await asyncio.shield(under_way)
        return wire.aged(answer, (), 0, asked.id, asked.flags)

    def _question(self, asked: wire.Asked) -> dns.Question:
        message = wire.question(asked.id, asked.name, asked.kind, edns=asked.edns, signatures=asked.wants_signatures)
        return dns.Question(".".join(asked.labels), "", wire.STREAM_LIMIT, message)

    def _others(self) -> list[str]:
        return [address for address in self._nameservers() if address not in self._own]

    def _told(self, asked: wire.Asked, data: bytes, found: Found, limit: int) -> bytes:
        if not found.answers:
            code = wire.NO_ERROR if found.exists else wire.NAME_ERROR
            return wire.reply(asked, data, (), (self._zone.soa,), code=code, limit=limit)
        answers: Sequence[bytes] = found.answers
        if found.turns:
            first = random.randrange(len(answers))
            answers = (*answers[first:], *answers[:first])
        return wire.reply(asked, data, answers, (), found.extras, limit=limit)

    def _fitted(self, asked: wire.Asked, data: bytes, answer: bytes, limit: int) -> bytes:
        if len(answer) <= limit:
            return answer[: wire.HEADER_BYTES] + data[wire.HEADER_BYTES : asked.end] + answer[asked.end :]
        cut = bytearray(wire.reply(asked, data, authoritative=False))
        cut[2] |= wire.TC >> 8
        return bytes(cut)

    def _local(self, labels: tuple[str, ...], kind: int) -> Found | None:
        """Names outside the zone that this machine knows: reverse ones, and containers of its networks."""
        if labels[-2:] == REVERSE and len(labels) == 6:
            return self._pointer(".".join(reversed(labels[:4]))) if kind in (wire.PTR, wire.ANY) else None
        if self._neighbours is None or not labels:
            return None
        if labels[-2:] == DOCKER:
            return self._neighbour(labels[:-2], kind)
        if len(labels) == 1:
            addresses = self._neighbours.addresses_of(labels[0], "")
            return _container(addresses, kind) if addresses else None
        return None

    def _neighbour(self, rest: tuple[str, ...], kind: int) -> Found | None:
        """NAME.NETWORK.docker.internal; NAME.docker.internal where only one network has the name. None: others may
        know, as `host.docker.internal`."""
        assert self._neighbours is not None
        for end in range(len(rest), 0, -1):
            addresses = self._neighbours.addresses_of(".".join(rest[:end]), ".".join(rest[end:]))
            if addresses:
                return _container(addresses, kind)
        return None

    def _pointer(self, text: str) -> Found | None:
        address = packed_address(text)
        found = self._zone.pointer(address) if address else None
        if found is None and address and self._neighbours is not None:
            name = self._neighbours.name_of(text)
            if name:
                target = wire.encode_name(f"{name}.{'.'.join(DOCKER)}")
                found = Found((wire.record(wire.SAME, wire.PTR, SECONDS, target),))
        return found


def _container(addresses: Sequence[str], kind: int) -> Found:
    if kind not in (wire.A, wire.ANY):
        return Found()
    packed = [packed_address(one) for one in addresses]
    records = tuple(wire.record(wire.SAME, wire.A, NEIGHBOUR_SECONDS, one) for one in packed if one)
    return Found(records, turns=len(records) > 1)
