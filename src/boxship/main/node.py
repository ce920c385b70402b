"""This machine as a node of a cluster: joins, leaves, and says how it stands. Implements the Docker door's Membership.

What joining leaves is a record and certificates in the data root; at each start the node's parts begin from these. All
that the cluster's modules cost in memory and time is spent only where there is a record.
"""

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from boxship.doors.docker.node import JoinOrder, NodeState, PartState
from boxship.engine import Engine
from boxship.errors import Conflict, Invalid, NotFound
from boxship.main.node_record import NodeRecord, RecordFile, taint_of
from boxship.main.rooms import Rooms
from boxship.waiting import to_the_end

if TYPE_CHECKING:
    from boxship.main.node_machine import Machine

log = logging.getLogger("boxshipd.node")

FOLDER = "node"  # in the data root


class Node:
    """`start` and `stop` go with the daemon's."""

    def __init__(self, engine: Engine, rooms: Rooms) -> None:
        self._engine = engine
        self._rooms = rooms
        self._record = RecordFile(rooms.data / FOLDER)
        self._machine: Machine | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Begin where this machine has joined a cluster."""
        async with self._lock:
            record = self._record.read()
            if record is not None:
                self._begin(record)

    async def stop(self) -> None:
        """End the parts; pods go on."""
        async with self._lock:
            await self._end()

    async def join(self, order: JoinOrder) -> NodeState:
        """Become a node. Again with the same words is fine. Raises Conflict where this is another cluster's node."""
        async with self._lock:
            known = self._record.read()
            name = _name_of(order)
            if known is not None:
                if (known.server, known.node) != (order.server, name):
                    raise Conflict(f"cannot join {order.server}: this machine is node {known.node} of {known.server}")
                return self.state()
            record = await self._introduce(order, name)
            await to_the_end(asyncio.to_thread(self._record.write, record))
            log.info("this machine is node %s of %s now", record.node, record.server)
            self._begin(record)
        return self.state()

    async def leave(self) -> None:
        async with self._lock:
            record = self._record.read()
            if record is None:
                raise NotFound("cannot leave: this machine is no node")
            if self._machine is None:
                self._begin(record)
            assert self._machine is not None
            await self._machine.stop()
            await self._machine.clear()
            self._machine = None
            await asyncio.to_thread(self._record.forget)
            log.info("this machine is no node of %s any more", record.server)

    def state(self) -> NodeState:
        machine = self._machine
        if machine is None:
            raise NotFound("this machine is no node: boxship node join, or boxship cluster up")
        record = machine.record
        return NodeState(
            server=record.server,
            node_name=record.node,
            address=machine.address,
            pod_cidr=record.pod_cidr,
            certificate_until=machine.certificate_until,
            parts=tuple(PartState(name=part.name, state=part.state, why=part.why) for part in machine.parts),
        )

    async def _introduce(self, order: JoinOrder, name: str) -> NodeRecord:
        """Find out whom to trust, and have the first certificate signed."""
        from boxship.main.node_machine import introduce

        for text in order.taints:
            taint_of(text)  # a wrong one is told now
        record = NodeRecord(
            server=order.server,
            authority="",
            node=name,
            address=order.address,
            labels=order.labels,
            taints=order.taints,
            certificate_seconds=order.certificate_seconds,
        )
        return await introduce(record, order.token, order.ca_hash, self._pki)

    def _begin(self, record: NodeRecord) -> None:
        from boxship.main.node_machine import Machine

        self._machine = Machine(record, self._record, self._pki, self._engine, self._rooms)
        self._machine.start()

    async def _end(self) -> None:
        if self._machine is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._machine.stop()
            self._machine = None

    @property
    def _pki(self) -> Path:
        return self._record.folder / "pki"


def _name_of(order: JoinOrder) -> str:
    """The node's name. Raises Invalid for one that the API would not take."""
    from boxship.cluster.objects.names import subdomain

    name = (order.node_name or os.uname().nodename).lower()
    if why := subdomain(name):
        raise Invalid(f"cannot join as {name}: {why}; say --node-name")
    return name
