"""Gives each node a block of the pods' addresses. What nodes have is the truth; between two nodes, one hand decides:
one worker, and what it wrote counts before it is seen."""

import logging
from collections.abc import Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.nodes.blocks import Blocks
from boxship.cluster.controllers.nodes.facts import RESOURCE, Node
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

LOOK_AGAIN = 30.0  # seconds, where there was no block left


class NodeAddresses:
    """`nodes` keeps facts.Node."""

    name = "node-ipam-controller"
    workers = 1

    def __init__(self, client: Client, nodes: Cache, blocks: Blocks, events: Events) -> None:
        self.caches: Sequence[Cache] = (nodes,)
        self.queue: Queue[Key] = Queue()
        self._client = client
        self._nodes = nodes
        self._blocks = blocks
        self._events = events
        self._given: dict[Key, str] = {}  # written, or perhaps written, and not seen yet
        self._poor: set[Key] = set()  # nodes for which there was no block
        nodes.subscribe(self._changed)

    async def reconcile(self, key: Key) -> Again | None:
        node: Node | None = self._nodes.get(key)
        if node is None or node.blocks:
            self._poor.discard(key)
            return None
        block = self._given.get(key) or self._blocks.free()
        if block is None:
            self._poor.add(key)
            text = f"Node {node.name} status is now: CIDRNotAvailable"
            self._events.tell(node.about, "Normal", "CIDRNotAvailable", text)
            log.warning("no block of addresses is left for the pods of node %s", node.name)
            return Again(LOOK_AGAIN)
        if key not in self._given:
            self._given[key] = block
            self._blocks.take(block)
        patch = {"metadata": {"uid": node.uid}, "spec": {"podCIDR": block, "podCIDRs": [block]}}
        try:
            await self._client.patch(RESOURCE, "", node.name, patch)
        except BoxshipError as error:
            # Where it may have been done, the block stays the node's: it is what the next try asks for.
            if isinstance(error, Failure) and error.code < 500:
                self._take_back(key)
            raise
        return None

    def _take_back(self, key: Key) -> None:
        block = self._given.pop(key, None)
        if block is not None:
            self._blocks.release(block)

    def _changed(self, key: Key, old: Node | None, new: Node | None) -> None:
        had, has = old.blocks if old else (), new.blocks if new else ()
        if had != has:
            for block in has:
                self._blocks.take(block)
            for block in had:
                self._blocks.release(block)
        if has or new is None or (old is not None and old.uid != new.uid):
            self._take_back(key)
        if new is not None and not has:
            self.queue.add(key)
        elif had and not has:
            for poor in self._poor:
                self.queue.add(poor)
