"""The node towards the API: it registers itself, renews its lease, and tells how it is: when that changes, and every
five minutes. Whoever only simulates a node does the same. A Node that somebody has deleted stays away until the agent
begins anew, as the original's does: who takes a machine out of service must not find it back, and open for pods.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from boxship.cluster.access import Client
from boxship.cluster.node.runtime import Runtime
from boxship.cluster.node.status import describing
from boxship.cluster.node.status.facts import NodeFacts
from boxship.cluster.node.status.noticing import Told, node_events, schedulable_events
from boxship.cluster.objects import Object, times
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.recording import Events
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

NODES, LEASES, LEASE_SPACE = "v1/nodes", "coordination.k8s.io/v1/leases", "kube-node-lease"
LEASE_SECONDS, RENEW_SECONDS = 40, 10.0
LOOK_SECONDS, TELL_SECONDS = 30.0, 300.0
TROUBLE_SECONDS = 0.2, 5.0  # between tries of what the API does not take, first and longest


async def register(client: Client, facts: NodeFacts, now: float) -> Object:
    """The Node as the API has it; made where it is not there. Raises Failure."""
    wanted = describing.first_node(facts, now)
    try:
        return await client.create(NODES, "", wanted)
    except Failure as failure:
        if failure.reason != "AlreadyExists":
            raise
    node = await client.get(NODES, "", facts.name)
    patch = describing.missing_metadata(node, facts)
    return node if patch is None else await client.patch(NODES, "", facts.name, patch)


class Reporter:
    """One for a node. `pressures` says which conditions hold; `look` is set where they have changed. `pace`: the clock
    by which others have their turn while the Node is watched; None: it is only looked at from time to time."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        facts: NodeFacts,
        now: Callable[[], float],
        pressures: Callable[[], Mapping[str, bool]],
        events: Events | None = None,
        pace: Callable[[], float] | None = None,
    ) -> None:
        self._client = client
        self._runtime = runtime
        self._facts = facts
        self._now = now
        self._pressures = pressures
        self._events = events
        self.look = asyncio.Event()
        self.node: Object = {}
        self._gone = False  # somebody has deleted the Node
        fields = f"metadata.name={facts.name}"
        self._watched = Cache(client, NODES, fields=fields, pace=pace) if pace is not None else None

    async def read(self) -> None:
        """The node as the API has it now. Raises Failure."""
        self.node = await self._client.get(NODES, "", self._facts.name)

    async def run(self) -> None:
        """Without end, after `register`."""
        parts = [self._keep_lease(), self._keep_status()]
        if self._watched is not None:
            self._watched.subscribe(self._told)
            parts.append(self._watched.run())
        await asyncio.gather(*parts)

    async def register(self) -> None:
        """Until the API has the node."""
        pause, longest = TROUBLE_SECONDS
        while True:
            try:
                self.node = await register(self._client, self._facts, self._now())
                return
            except BoxshipError as error:
                log.warning("cannot register node %s: %s", self._facts.name, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)

    async def _keep_lease(self) -> None:
        lease: Object | None = None
        while True:
            pause, failed = RENEW_SECONDS, lease is None
            if self._gone:
                lease = None
                await asyncio.sleep(pause)
                continue
            try:
                lease = await self._renew(lease)
                if failed:
                    self.look.set()  # the control plane may think that we are gone
            except BoxshipError as error:
                log.warning("cannot renew the lease of node %s: %s", self._facts.name, error)
                lease, pause = None, 1.0
            await asyncio.sleep(pause)

    async def _renew(self, lease: Object | None) -> Object:
        name = self._facts.name
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": times.stamp_micro(datetime.fromtimestamp(self._now(), UTC)),
        }
        if lease is not None:
            return await self._client.update(LEASES, {**lease, "spec": {**lease["spec"], **spec}})
        try:
            return await self._client.patch(LEASES, LEASE_SPACE, name, {"spec": spec})
        except Failure as failure:
            if failure.reason != "NotFound":
                raise
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self.node["metadata"]["uid"]}
        made = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": LEASE_SPACE, "ownerReferences": [owner]},
            "spec": spec,
        }
        return await self._client.create(LEASES, LEASE_SPACE, made)

    async def _keep_status(self) -> None:
        told_at = 0.0
        while True:
            self.look.clear()
            try:
                if await self._tell(at_all=self._now() - told_at >= TELL_SECONDS):
                    told_at = self._now()
                pause = LOOK_SECONDS
            except BoxshipError as error:
                log.warning("cannot tell how node %s is: %s", self._facts.name, error)
                pause = TROUBLE_SECONDS[1] if told_at else 1.0
            try:
                async with asyncio.timeout(pause):
                    await self.look.wait()
            except TimeoutError:
                continue

    async def _tell(self, *, at_all: bool) -> bool:
        """Whether it was written: `at_all`, or what the API has is not so."""
        name = self._facts.name
        try:
            node = await self._client.get(NODES, "", name)
        except Failure as failure:
            if failure.reason != "NotFound":
                raise
            self._leave()
            return False
        self._gone = False
        self.node = node
        had = node.get("status") or {}
        usage, _ = await self._runtime.usage()
        status = describing.node_status(
            self._facts,
            had,
            self._now(),
            usage=usage,
            images=await self._runtime.images(),
            pressures=self._pressures(),
            problem=self._facts.network_ready,
        )
        if not at_all and not describing.differs(had, status):
            return False
        version = node["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "status": describing.status_patch(had, status)}
        try:
            self.node = await self._client.patch(NODES, "", name, patch, subresource="status")
        except Failure as failure:
            if failure.reason != "Conflict":
                raise
            self.look.set()
            return False
        self._notice(node_events(node, self.node))
        return True

    def _leave(self) -> None:
        if not self._gone:
            log.warning("node %s was deleted: it comes back when boxshipd starts anew", self._facts.name)
        self._gone = True

    def _told(self, key: Key, old: Object | None, new: Object | None) -> None:
        """By the cache. Changes that come at once, one undoing the other, are told each by itself."""
        if new is None:
            self._leave()
        elif old is not None:
            self._notice(schedulable_events(old, new))
        if (old is None) is not (new is None) or (
            new is not None and describing.offers_otherwise(new.get("status") or {})
        ):
            self.look.set()

    def _notice(self, told: Iterable[Told]) -> None:
        """Agents name the Node by its name in place of its uid, and old clients ask for that alone."""
        if self._events is not None:
            about = {**self.node, "metadata": {**self.node["metadata"], "uid": self._facts.name}}
            for kind, reason, message in told:
                self._events.tell(about, kind, reason, message)
