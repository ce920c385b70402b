"""Network policies on this node: who follows them, anew after each failure, and the gate that pods pass before they
begin."""

import asyncio

from boxship.cluster.objects import Object
from boxship.cluster.proxy.policies import PolicyEnforcer
from boxship.main.node_means import Means


class Policies:
    """Implements the agent's Gate by the enforcer that runs."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._enforcer: PolicyEnforcer | None = None
        self._begun = asyncio.Event()

    async def run(self) -> None:
        """Without end."""
        means = self._means
        enforcer = PolicyEnforcer(means.client, means.network, means.record.node, self._address_of)
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

    def _address_of(self, uid: str) -> str:
        pod = self._means.engine.pods.find(uid)
        return next(iter(pod.addresses), "") if pod is not None else ""
