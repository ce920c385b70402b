"""Network policies on this node: who follows them, anew after each failure, and the gate that pods pass before they
begin."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from boxship.cluster.objects import Object
from boxship.cluster.proxy.policies import PolicyEnforcer
from boxship.cluster.proxy.walls import Key, PodFacts
from boxship.engine import Engine
from boxship.engine.model import ALIVE
from boxship.errors import Exhausted
from boxship.main.node_means import Means

ENDS = frozenset({"die", "stop", "destroy"})
OWN_LABELS = "io.kubernetes.pod."  # of sandboxes; pods have them not


class Policies:
    """Implements the agent's Gate by the enforcer that runs."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._enforcer: PolicyEnforcer | None = None
        self._begun = asyncio.Event()

    async def run(self) -> None:
        """Without end."""
        means = self._means
        enforcer = PolicyEnforcer(means.client, means.network, means.record.node, EnginePods(means.engine))
        self._enforcer = enforcer
        self._begun.set()
        try:
            await enforcer.run()
        finally:
            self._begun.clear()
            self._enforcer = None

    @property
    def is_open(self) -> bool:
        return self._enforcer is not None and self._enforcer.is_open

    async def admit(self, pod: Object, address: str, *, static: bool = False) -> None:
        """Waits for who is to judge. Raises Unavailable where he fails meanwhile."""
        while self._enforcer is None:
            await self._begun.wait()
        await self._enforcer.admit(pod, address, static=static)


class EnginePods:
    """Implements Machine by what the engine knows of this cluster's pods."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def address_of(self, uid: str) -> str:
        pod = self._engine.pods.find(uid)
        return next(iter(pod.addresses), "") if pod is not None else ""

    def runs(self, uid: str) -> bool:
        return any(box.state.phase in ALIVE for box in self._engine.pods.containers(uid))

    def pods(self) -> Iterator[tuple[Key, PodFacts]]:
        for pod in self._engine.pods.list():
            for address in pod.addresses[:1]:
                labels = {name: value for name, value in pod.spec.labels.items() if not name.startswith(OWN_LABELS)}
                yield (pod.spec.namespace, pod.spec.name), PodFacts(pod.spec.uid, address, "", labels, {})

    async def ends(self) -> AsyncIterator[None]:
        while True:
            try:
                async for event in self._engine.events.subscribe():
                    if event.kind in ("pod", "container") and event.action in ENDS:
                        yield
                return
            except Exhausted:  # too slow for so much news: something has ended meanwhile
                yield
