"""The agent with what it stands on: the engine as its runtime, the planner and volumes, and the server by which the API
reaches its pods."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from boxship.cluster.node.agent import NodeAgent
from boxship.cluster.node.configuration import configuration
from boxship.cluster.node.engine_images import EngineSharedImages, names_of
from boxship.cluster.node.engine_runtime import EngineRuntime
from boxship.cluster.node.peers import Peers
from boxship.cluster.node.plan.facts import NodeFacts as PlanFacts
from boxship.cluster.node.plan.starting import make_files
from boxship.cluster.node.planning import VolumeFigures
from boxship.cluster.node.pulled import PullRecords
from boxship.cluster.node.server.door import NODE_LIMITS, NodeDoor
from boxship.cluster.node.server.entry import Entry
from boxship.cluster.node.status.facts import HOSTNAME, INTERNAL, NodeFacts, machine_facts
from boxship.cluster.node.volumes.preparing import NodeVolumes
from boxship.cluster.objects import Object
from boxship.errors import Internal
from boxship.main.node_addresses import NETWORK, is_local
from boxship.main.node_means import Means
from boxship.main.node_policies import Policies
from boxship.main.node_record import taint_of
from boxship.main.node_shelf import StoreShelf
from boxship.main.node_traffic import NodeTraffic
from boxship.transport.client import HttpClient
from boxship.transport.listen import TlsAddress
from boxship.transport.server import Server
from boxship.volumes.mountpoints import MountPoints

PORT = 10250
READY_SECONDS = 5.0  # that a request waits for the agent to know its pods
LOCAL_VOLUMES = "boxship.io/local-volumes"  # where the node keeps what it provides


class Pods:
    """Makes the agent, anew after each failure. Implements the server's PodsHere and MeasuredVolumes by the one that
    runs."""

    def __init__(self, means: Means, traffic: NodeTraffic, gate: Policies) -> None:
        self._means = means
        self._traffic = traffic
        self._gate = gate
        self._pulled = PullRecords(StoreShelf(means.rooms.store, "node-images/"))
        shared = means.rooms.node.images_from_nodes
        self._images = EngineSharedImages(means.engine, self._pulled, shared=shared)
        self._http = HttpClient(user_agent="boxshipd")
        certificates = means.certificates
        node = means.record.node
        peers = Peers(means.client, self._http, lambda: certificates.trust, node, self._images, names_of)
        self._runtime = EngineRuntime(means.engine, means.rooms.data, peers if shared else None, self._pulled)
        self._agent: NodeAgent | None = None
        self._volumes: NodeVolumes | None = None
        self._begun = asyncio.Event()
        self._port = 0

    async def listen(self, stack: contextlib.AsyncExitStack) -> None:
        """The server listens when this returns, until the stack is closed."""
        means = self._means
        entry = Entry(means.client, means.record.authority.encode(), means.record.node)
        options, facts = means.rooms.node.agent(means.rooms.data), await asyncio.to_thread(self._facts)
        told = configuration(options, facts, means.record.domain, means.site.answered)
        door = NodeDoor(self._runtime, self, entry, means.record.node, self._images, self, configuration=told)
        stack.push_async_callback(self._http.close)
        host = means.gateway if is_local(means.record) else means.address
        server = Server(door.handle, NODE_LIMITS)
        try:
            await server.start([TlsAddress(host, PORT, means.certificates, clients=False, early=True)])
        except Internal:  # somebody else's
            server = Server(door.handle, NODE_LIMITS)
            await server.start([TlsAddress(host, 0, means.certificates, clients=False, early=True)])
        stack.push_async_callback(server.stop)
        self._port = int(server.addresses[0][1])

    async def run(self) -> None:
        """Without end."""
        facts = await asyncio.to_thread(self._facts)
        planned = plan_facts(self._means, facts)
        files = make_files(self._means.client, images=self._runtime, mounts=MountPoints(), facts=planned)
        rooms = self._means.rooms
        agent = NodeAgent(
            self._means.client,
            self._runtime,
            files.planner,
            files.volumes,
            facts,
            options=rooms.node.agent(rooms.data),
            pulled=self._pulled,
            traffic=self._traffic,
            gate=self._gate,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in files.parts:
                    tasks.create_task(_run(part))
                self._agent, self._volumes = agent, files.volumes
                self._begun.set()
                tasks.create_task(agent.run())
        finally:
            self._agent = self._volumes = None

    async def ready(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                await self._begun.wait()
                if self._agent is not None:
                    await self._agent.ready()

    def find(self, namespace: str, name: str) -> Object | None:
        return self._agent.find(namespace, name) if self._agent is not None else None

    def all(self) -> Sequence[Object]:
        return self._agent.all() if self._agent is not None else ()

    async def figures(self, uid: str) -> Sequence[VolumeFigures]:
        return await self._volumes.figures(uid) if self._volumes is not None else ()

    def _facts(self) -> NodeFacts:
        """Blocks for a moment."""
        record = self._means.record
        addresses = ((INTERNAL, self._means.address), (HOSTNAME, record.node))
        return NodeFacts(
            name=record.node,
            addresses=tuple(pair for pair in addresses if pair[1]),
            port=self._port,
            agent_address=f"{self._means.gateway}:{self._port}" if is_local(record) else "",
            machine=machine_facts(),
            labels=record.labels,
            annotations={LOCAL_VOLUMES: str(self._means.rooms.data / "local-volumes")},
            reserved=self._means.rooms.node.reserved,
            taints=tuple(taint_of(text) for text in record.taints),
        )


async def _run(part: Callable[[], Awaitable[None]]) -> None:
    await part()


def plan_facts(means: Means, facts: NodeFacts) -> PlanFacts:
    data: Path = means.rooms.data
    status = os.statvfs(data)
    return PlanFacts(
        node=means.record.node,
        root=data / "pods",
        cgroup=f"boxship-pods-{means.rooms.instance}",
        network=NETWORK,
        domain=means.record.domain,
        dns=means.site.answered,
        addresses=(means.address,) if means.address else (),
        cpu_milli=facts.machine.cpus * 1000,
        memory_bytes=facts.machine.memory,
        storage_bytes=status.f_bavail * status.f_frsize,
        memory_capacity=facts.machine.memory,
        handlers=("", *means.rooms.driver.runtimes),
    )
