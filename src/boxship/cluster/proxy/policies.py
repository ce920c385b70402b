"""Follows network policies, and keeps the kernel's table after them, for the pods of this node.

A pod's first process begins only when `admit` has returned: then what the known policies say of it is in force, in both
directions, and it is in the groups of this node's other pods. So the address of a pod here is asked of the machine,
which knows it before the API does, and counts as long as the machine says so, whatever becomes of the object.

All pods of the cluster are followed only once there is a policy. The table is told everything at the beginning of a
life; until then what the last one left stays in force.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.proxy.judging import Judge
from boxship.cluster.proxy.walls import Key, PodFacts, pod_facts, policy_facts
from boxship.cluster.reconcile.cache import Cache, run_all
from boxship.cluster.reconcile.following import Source
from boxship.errors import BoxshipError, Unavailable
from boxship.network.cluster import ClusterNetwork

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds
STATIC_SECONDS = 2.0  # that a static pod waits for the API to say whether there are policies
SLICE = 200  # matches before others have their turn
PODS = "node.boxship.io/v1/podaddresses"  # of all pods what neighbours may know


def _labels(namespace: Object) -> dict[str, str]:
    return namespace["metadata"].get("labels") or {}


class PolicyEnforcer:
    """Of one node. `address_of` says which address the pod with a uid has on this machine, "": none."""

    def __init__(
        self, client: Source, network: ClusterNetwork, node: str, address_of: Callable[[str], str] = lambda uid: ""
    ) -> None:
        self._network = network
        self._node = node
        self._address_of = address_of
        self._policies = Cache(client, "networking.k8s.io/v1/networkpolicies", keep=policy_facts)
        self._pods = Cache(client, PODS, keep=pod_facts)
        self._namespaces = Cache(client, "v1/namespaces", keep=_labels)
        self._judge = Judge()
        self._unlisted: dict[str, str] = {}  # namespaces of pods here that the API has not yet, or no more
        self._admitted: dict[str, str] = {}  # addresses of pods here that were judged before they began
        self._waiting: list[asyncio.Future[None]] = []
        self._news = asyncio.Event()
        self._first = asyncio.Event()
        self._whole = True  # the table has to be told everything

    async def run(self) -> None:
        """Without end."""
        self._policies.subscribe(self._policy_told)
        self._pods.subscribe(self._pod_told)
        self._namespaces.subscribe(self._namespace_told)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._policies.run())
                await self._policies.ready()
                if not len(self._policies):
                    await self._settle()
                await self._first.wait()
                await run_all(tasks, (self._namespaces, self._pods))
                while True:
                    await self._settle()
                    await self._news.wait()
        finally:
            for judged in self._waiting:
                if not judged.done():
                    judged.set_exception(Unavailable("network policies are not followed at the moment"))

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
        facts = msgspec.structs.replace(facts, address=address, node=self._node)
        for uid, namespace, other in self._judge.others_at(address, facts.uid):  # it had the address before
            self._judge.put_pod(uid, namespace, msgspec.structs.replace(other, address=""), here=True)
            self._admitted.pop(uid, None)
        namespace = pod["metadata"].get("namespace", "")
        self._judge.put_pod(facts.uid, namespace, facts, here=True)
        self._unlisted[facts.uid] = namespace
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
        for uid, namespace in list(self._unlisted.items()):
            if not self._address_of(uid):
                del self._unlisted[uid]
                self._drop(uid, namespace)

    def _drop(self, uid: str, namespace: str) -> None:
        self._admitted.pop(uid, None)
        self._judge.put_pod(uid, namespace, None, here=True)

    def _policy_told(self, key: Key, old: Any, new: Any) -> None:
        if old != new:
            self._judge.put_policy(key, new)
            self._first.set()
            self._news.set()

    def _pod_told(self, key: Key, old: PodFacts | None, new: PodFacts | None) -> None:
        if old == new:
            return
        if old is not None and (new is None or new.uid != old.uid):
            if old.node == self._node and self._address_of(old.uid):
                self._unlisted[old.uid] = key[0]  # deleted by force: it goes on until the agent has ended it
            else:
                self._drop(old.uid, key[0])
        if new is not None:
            self._put(key[0], new)
        self._news.set()

    def _put(self, namespace: str, facts: PodFacts) -> None:
        here = facts.node == self._node
        if here:
            self._unlisted.pop(facts.uid, None)
            own = self._address_of(facts.uid)
            others = self._judge.others_at(facts.address, facts.uid) if facts.address and not own else ()
            if own or any(self._address_of(uid) == facts.address for uid, _, _ in others):
                facts = msgspec.structs.replace(facts, address=own)
        self._judge.put_pod(facts.uid, namespace, facts, here=here)

    def _namespace_told(self, key: Key, old: Any, new: Any) -> None:
        if old != new:
            self._judge.put_namespace(key[1], new)
            self._news.set()
