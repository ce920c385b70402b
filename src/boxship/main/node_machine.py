"""The node's work on this machine, put together: who we are, our pod addresses with their network, then the parts.

Everything here can be done again at any time: a kill between any two steps is finished by the next start. Without the
API the node begins with what its record says, and pods go on.
"""

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from boxship.cluster.access.remote import Remote, Server, api_client
from boxship.cluster.node.identity.certificates import NodeCertificates
from boxship.cluster.node.identity.discovery import discover
from boxship.engine import Engine
from boxship.errors import BoxshipError
from boxship.main.node_addresses import Addresses, first_block, own_address
from boxship.main.node_means import Means
from boxship.main.node_parts import make_parts
from boxship.main.node_record import NodeRecord, RecordFile
from boxship.main.node_supervising import Part
from boxship.main.rooms import Rooms
from boxship.transport.client import HttpClient, Trust
from boxship.waiting import to_the_end

log = logging.getLogger("boxshipd.node")

AGENT = "boxshipd"


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Way:
    """Implements access.remote's Place: the API, and who we are at the moment."""

    def __init__(self, url: str, certificates: NodeCertificates) -> None:
        self.url = url
        self._certificates = certificates

    @property
    def trust(self) -> Trust:
        return self._certificates.trust


async def introduce(record: NodeRecord, token: str, pin: str, folder: Path) -> NodeRecord:
    """The record with the authority filled in; the node's first certificate lies in `folder`. Raises Denied…"""
    http = api_client(AGENT)
    try:
        authority, network = await discover(http, record.server, token, pin)
        server = Server(record.server, Trust(ca_data=authority))
        certificates = NodeCertificates(folder, record.node, authority, now, seconds=record.certificate_seconds)
        await certificates.begin(Remote(http, server, lambda: token))
        return msgspec.structs.replace(
            record,
            authority=authority,
            pods=network.pods,
            services=network.services,
            dns=network.dns,
            domain=network.domain,
        )
    finally:
        await http.close()


class Machine:
    """One node at work. `parts` says how each of them stands."""

    def __init__(self, record: NodeRecord, file: RecordFile, pki: Path, engine: Engine, rooms: Rooms) -> None:
        self.record = record
        self.address = record.address
        self._file = file
        self._engine = engine
        self._rooms = rooms
        self._http: HttpClient = api_client(AGENT)
        self._certificates = NodeCertificates(
            pki, record.node, record.authority, now, seconds=record.certificate_seconds
        )
        self._client = Remote(self._http, Way(record.server, self._certificates))
        self._first = [
            Part("certificates", lambda: self._certificates.run(self._client)),
            Part("node", self._work),
        ]
        self._later: Sequence[Part] = ()
        self._task: asyncio.Task[None] | None = None

    @property
    def parts(self) -> list[Part]:
        return [*self._first, *self._later]

    @property
    def certificate_until(self) -> str:
        life = self._certificates.client.life()
        return life[1].strftime("%Y-%m-%dT%H:%M:%SZ") if life else ""

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """End the parts in reverse; what they made stays."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._http.close()

    async def clear(self) -> None:
        """Take away all that the cluster put on this machine."""
        from boxship.main.node_clearing import clear

        await clear(self._engine, self._rooms, self.record)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for part in self._first:
                tasks.create_task(part.run(), name=f"node: {part.name}")

    async def _work(self) -> None:
        """Everything that needs our addresses, as long as they are ours."""
        self.address = await asyncio.to_thread(own_address, self.record)
        if not self.record.pod_cidr:
            await self._take_block(await first_block(self._client, self.record))
        addresses = Addresses(self._engine, self._rooms, self.record)
        network = await addresses.prepare()
        self.address = self.address or addresses.gateway
        means = Means(
            record=self.record,
            address=self.address,
            gateway=addresses.gateway,
            network=network,
            site=addresses.site,
            client=self._client,
            certificates=self._certificates,
            engine=self._engine,
            rooms=self._rooms,
            http=self._http,
        )
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(network.close)
            self._later = await make_parts(means, stack)
            async with asyncio.TaskGroup() as tasks:
                for part in self._later:
                    tasks.create_task(part.run(), name=f"node: {part.name}")
                block = await addresses.moved(self._client)
                log.warning("the cluster gave node %s other pod addresses: %s", self.record.node, block)
                await self._take_block(block)
                raise Moved(f"pod addresses are {block} now")

    async def _take_block(self, block: str) -> None:
        self.record = msgspec.structs.replace(self.record, pod_cidr=block)
        await to_the_end(asyncio.to_thread(self._file.write, self.record))


class Moved(BoxshipError):
    """The node's addresses are others now: everything begins again."""
