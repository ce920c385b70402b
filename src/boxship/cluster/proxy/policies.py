"""Follows network policies, and keeps the kernel's table after them, for the pods of this node.

A pod's first process begins only when `admit` has returned: then what the known policies say of it is in force, in both
directions, and it is in the groups of this node's other pods. So the address of a pod here is asked of the machine,
which knows it before the API does, and counts as long as the machine says so, whatever becomes of the object: what the
machine runs is known before the API is asked, and counts where that has not heard of it or has forgotten it.

All pods of the cluster are followed only once there is a policy. Reading them takes a while: until then pods begin
behind walls whose groups are filled with this node's pods alone, which keeps out too many and never too few. Only where
the last life left walls with groups that are filled, these stay in force, and pods wait: to empty them would cut
connections. The table is told everything at the beginning of a life.
"""

import asyncio
import contextlib
import logging
import random
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.proxy.judging import Judge
from boxship.cluster.proxy.machine import Machine, NoMachine
from boxship.cluster.proxy.walls import Key, PodFacts, pod_facts, policy_facts
from boxship.cluster.reconcile.cache import Cache, key_of, run_all
from boxship.cluster.reconcile.following import Source
from boxship.errors import BoxshipError, Unavailable
from boxship.network.cluster import ClusterNetwork

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds
STATIC_SECONDS = 2.0  # that a static pod waits for the API to say whether there are policies
SPREAD_SECONDS, LONGEST_SPREAD = 0.004, 20.0  # for each other node: over which nodes read all pods after one another
SLICE = 200  # matches before others have their turn
PODS = "node.boxship.io/v1/podaddresses"  # of all pods what neighbours may know


def _labels(namespace: Object) -> dict[str, str]:
    return namespace["metadata"].get("labels") or {}


class PolicyEnforcer:
    """Of one node."""

    def __init__(self, client: Source, network: ClusterNetwork, node: str, machine: Machine | None = None) -> None:
        self._network = network
        self._node = node
        self._machine = machine or NoMachine()
        self._address_of = self._machine.address_of
        self._policies = Cache(client, "networking.k8s.io/v1/networkpolicies", keep=policy_facts)
        self._pods = Cache(client, PODS, keep=pod_facts)
        self._namespaces = Cache(client, "v1/namespaces", keep=_labels)
        self._judge = Judge()
        self._unlisted: dict[str, Key] = {}  # pods here that the API has not yet, or no more
        self._admitted: dict[str, str] = {}  # addresses of pods here that were judged before they began
        self._waiting: list[asyncio.Future[None]] = []
        self._news = asyncio.Event()
        self._first = asyncio.Event()
        self._whole = True  # the table has to be told everything
        self._full = False  # whether all pods and namespaces were read

    async def run(self) -> None:
        """Without end."""
        self._policies.subscribe(self._policy_told)
        self._pods.subscribe(self._pod_told)
        self._namespaces.subscribe(self._namespace_told)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch_ends())
                tasks.create_task(self._policies.run())
                await self._policies.ready()
                beside = not len(self._policies) or not await self._network.policies.stands()
                if beside:
                    await self._settle()
                    tasks.create_task(self._keep())
                    await self._first.wait()
                    others = self._network.routes.others
                    await asyncio.sleep(random.uniform(0, min(others * SPREAD_SECONDS, LONGEST_SPREAD)))
                await run_all(tasks, (self._namespaces, self._pods))
                self._full = True
                self._news.set()
                if not beside:
                    tasks.create_task(self._keep())
        finally:
            for judged in self._waiting:
                if not judged.done():
                    judged.set_exception(Unavailable("network policies are not followed at the moment"))

    async def _keep(self) -> None:
        """Without end: have in force what is known."""
        while True:
            await self._news.wait()
            await self._settle()

    async def _watch_ends(self) -> None:
        """Without end: let go of pods that the API has not, as soon as they have ended."""
        async for _ in self._machine.ends():
            if any(not self._is_here(uid) for uid in self._unlisted):
                self._news.set()

    @property
    def is_open(self) -> bool:
        """Whether there is no policy at all, as far as is known."""
        return self._policies.is_ready and not len(self._policies)

    async def admit(self, pod: Object, address: str, *, static: bool = False) -> None:
        """Returns when what is known of policies is in force for a pod of this node with this address. Without any
        policy at once; where nothing is known yet, a `static` pod waits a moment, others until it is. Raises
        Unavailable where nobody sees to it any more."""
        if static and not self._policies.is_ready:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATIC_SECONDS):
                    await self._policies.ready()
            if not self._policies.is_ready:
                return  # it runs without the API; its walls come when that has its mirror
        await self._policies.ready()
        facts = pod_facts(pod)
        if facts is None or self.is_open or self._admitted.get(facts.uid) == address:
            return
        key = key_of(pod)
        facts = msgspec.structs.replace(facts, address=address, node=self._node)
        for uid, namespace, other in self._judge.others_at(address, facts.uid):  # it had the address before
            self._judge.put_pod(uid, namespace, msgspec.structs.replace(other, address=""), here=True)
            self._admitted.pop(uid, None)
        self._judge.put_pod(facts.uid, key[0], facts, here=True)
        self._unlisted[facts.uid] = key
        judged = asyncio.get_running_loop().create_future()
        self._waiting.append(judged)
        self._news.set()
        await judged
        self._admitted[facts.uid] = address

    async def _settle(self) -> None:
        """Have the rules that follow from what is known now; tried until it is done."""
        pause = FIRST_PAUSE
        failed = False
        while True:
            self._news.clear()
            self._let_go()
            for count, _ in enumerate(self._judge.steps(), 1):
                if count % SLICE == 0:
                    await asyncio.sleep(0)
            waiting, change = len(self._waiting), self._judge.take()  # what is told from here on comes next
            try:
                if self._whole:
                    self._whole, failed = False, True  # the table remembers it
                    await self._network.policies.replace(change)
                elif failed or not change.is_empty:
                    await self._network.policies.change(change)
            except BoxshipError as error:
                log.error("network policies are not in force as they should be: %s", error)
                failed = True
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            for judged in self._waiting[:waiting]:
                if not judged.done():
                    judged.set_result(None)
            del self._waiting[:waiting]
            return

    def _let_go(self) -> None:
        """Of pods that the API has not, those that are not on this machine any more, either."""
        for uid, (namespace, _) in list(self._unlisted.items()):
            if not self._is_here(uid):
                del self._unlisted[uid]
                self._drop(uid, namespace)

    def _is_here(self, uid: str) -> bool:
        """A pod that is stopped loses its address before the last of its processes has ended."""
        return bool(self._address_of(uid)) or self._machine.runs(uid)

    def _drop(self, uid: str, namespace: str) -> None:
        self._admitted.pop(uid, None)
        self._judge.put_pod(uid, namespace, None, here=True)

    def _policy_told(self, key: Key, old: Any, new: Any) -> None:
        if old != new:
            if old is None and len(self._policies) == 1:  # pods were let pass without a look
                self._look_around()
            self._judge.put_policy(key, new)
            self._first.set()
            self._news.set()

    def _look_around(self) -> None:
        """What runs here counts before the API tells of it, and where it does not."""
        for key, facts in self._machine.pods():
            if not self._judge.has(facts.uid):
                self._judge.put_pod(facts.uid, key[0], msgspec.structs.replace(facts, node=self._node), here=True)
                self._unlisted[facts.uid] = key

    def _pod_told(self, key: Key, old: PodFacts | None, new: PodFacts | None) -> None:
        if old == new:
            return
        if old is not None and (new is None or new.uid != old.uid):
            if old.node == self._node and self._is_here(old.uid):
                self._unlisted[old.uid] = key  # deleted by force: it goes on until the agent has ended it
            else:
                self._drop(old.uid, key[0])
        if new is not None:
            self._put(key, new)
        if self._full:
            self._news.set()

    def _put(self, key: Key, facts: PodFacts) -> None:
        here = facts.node == self._node
        if here:
            self._unlisted.pop(facts.uid, None)
            own = self._address_of(facts.uid)
            others = self._judge.others_at(facts.address, facts.uid) if facts.address and not own else ()
            for uid, namespace, other in others:
                if self._unlisted.get(uid) == key:  # its mirror, which alone knows the names of its ports
                    named = msgspec.structs.replace(other, named=facts.named)
                    self._judge.put_pod(uid, namespace, named, here=True)
            if own or any(self._address_of(uid) == facts.address for uid, _, _ in others):
                facts = msgspec.structs.replace(facts, address=own)
        self._judge.put_pod(facts.uid, key[0], facts, here=here)

    def _namespace_told(self, key: Key, old: Any, new: Any) -> None:
        if old != new:
            self._judge.put_namespace(key[1], new)
            if self._full:
                self._news.set()
