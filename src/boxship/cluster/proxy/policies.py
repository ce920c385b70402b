"""Follows network policies, and keeps the kernel's table after them, for the pods of this node.

All pods of the cluster are followed only once there is a policy. The table is told everything at the beginning of a
life; until then what the last one left stays in force.
"""

import asyncio
import logging
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.proxy.groups import Members
from boxship.cluster.proxy.walls import Key, PodFacts, PolicyFacts, Walls, pod_facts, policy_facts, walls_of
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.following import Source
from boxship.errors import BoxshipError
from boxship.network.cluster import ClusterNetwork
from boxship.network.policies_rules import State, Wall

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds


def _labels(namespace: Object) -> dict[str, str]:
    return namespace["metadata"].get("labels") or {}


class PolicyEnforcer:
    """Of one node."""

    def __init__(self, client: Source, network: ClusterNetwork, node: str) -> None:
        self._network = network
        self._node = node
        self._policies = Cache(client, "networking.k8s.io/v1/networkpolicies", keep=policy_facts)
        self._pods = Cache(client, "v1/pods", keep=pod_facts)
        self._namespaces = Cache(client, "v1/namespaces", keep=_labels)
        self._members = Members()
        self._here: dict[Key, PodFacts] = {}
        self._walls: dict[Key, tuple[Walls, Walls]] = {}
        self._stale: set[Key] = set()  # pods whose walls are to be found anew
        self._policies_changed = True
        self._news = asyncio.Event()
        self._first = asyncio.Event()

    async def run(self) -> None:
        """Without end."""
        self._policies.subscribe(self._policy_told)
        self._pods.subscribe(self._pod_told)
        self._namespaces.subscribe(self._namespace_told)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._policies.run())
            await self._policies.ready()
            if not len(self._policies):
                await self._settle()
            await self._first.wait()
            for cache in (self._namespaces, self._pods):
                tasks.create_task(cache.run())
            for cache in (self._namespaces, self._pods):
                await cache.ready()
            while True:
                await self._settle()
                await self._news.wait()

    async def _settle(self) -> None:
        """Have the rules that follow from what is known now; tried until it is done."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._network.policies.lead(self._state())
            except BoxshipError as error:
                log.error("network policies are not in force as they should be: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                return

    def _state(self) -> State:
        self._news.clear()
        policies = list(self._policies.items())
        if self._policies_changed:
            found: list[PolicyFacts] = [policy for _, policy in policies]
            self._members.want(
                (group for policy in found for group in policy.groups),
                (name for policy in found for name in policy.named),
            )
            self._stale = set(self._here)
            self._policies_changed = False
        for key in self._stale:
            pod = self._here.get(key)
            self._walls.pop(key, None)
            if pod and (walls := walls_of(key[0], pod, policies)) != (None, None):
                self._walls[key] = walls
        self._stale = set()
        incoming: dict[str, tuple[Wall, ...]] = {}
        outgoing: dict[str, tuple[Wall, ...]] = {}
        for key, (coming, going) in self._walls.items():
            address = self._here[key].address
            if coming is not None:
                incoming[address] = coming
            if going is not None:
                outgoing[address] = going
        return State(incoming, outgoing, self._members.groups(), self._members.sockets())

    def _policy_told(self, key: Key, old: Any, new: Any) -> None:
        if old != new:
            self._policies_changed = True
            self._first.set()
            self._news.set()

    def _pod_told(self, key: Key, old: Any, new: Any) -> None:
        if old == new:
            return
        self._members.put_pod(key, new)
        if new is not None and new.node == self._node:
            self._here[key] = new
        else:
            self._here.pop(key, None)
        self._stale.add(key)
        self._news.set()

    def _namespace_told(self, key: Key, old: Any, new: Any) -> None:
        if old != new:
            self._members.put_namespace(key[1], new)
            self._news.set()
