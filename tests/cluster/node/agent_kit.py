"""A node agent over a simulated machine, on the real API in this process."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from world_kit import World, eventually, running_world

from boxship.cluster.node.agent import NodeAgent, Options
from boxship.cluster.node.life.starting import Gate, NoGate
from boxship.cluster.node.simulated.planning import SimulatedPlanner, SimulatedVolumes
from boxship.cluster.node.simulated.runtime import SimulatedRuntime
from boxship.cluster.node.status.facts import MachineFacts, NodeFacts
from boxship.cluster.objects import Object

FACTS = NodeFacts(
    name="n1",
    addresses=(("InternalIP", "192.0.2.10"), ("Hostname", "n1")),
    machine=MachineFacts(cpus=4, memory=8 << 30),
)


class Node:
    """An agent that may be killed and started again on the same machine."""

    def __init__(self, world: World, facts: NodeFacts = FACTS) -> None:
        self.world = world
        self.facts = facts
        self.runtime = SimulatedRuntime(time.time)
        self.planner, self.volumes = SimulatedPlanner(), SimulatedVolumes()
        self.gate: Gate = NoGate()
        self.begin()

    def begin(self, **options: Any) -> None:
        self.agent = NodeAgent(
            self.world.client,
            self.runtime,
            self.planner,
            self.volumes,
            self.facts,
            options=Options(**options),
            gate=self.gate,
        )
        self.task = asyncio.create_task(self.agent.run())

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def pod(self, name: str, *containers: Object, namespace: str = "default", **spec: Any) -> Object:
        """Create one, bound to this node."""
        given = containers or ({"name": "a", "image": "one:1"},)
        annotations = spec.pop("annotations", {})
        metadata = {"name": name, "annotations": annotations, "finalizers": spec.pop("finalizers", [])}
        made = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"containers": list(given), "nodeName": self.facts.name, **spec},
        }
        return await self.world.client.create("v1/pods", namespace, made)

    async def status(self, name: str, namespace: str = "default") -> Object:
        found = await self.world.found("v1/pods", namespace, name)
        return {} if found is None else found.get("status") or {}

    async def until(self, name: str, condition: Any, what: str = "", seconds: float = 20.0) -> Object:
        """The pod's status as soon as the condition holds for it."""

        async def holds() -> Any:
            status = await self.status(name)
            return status if status and condition(status) else None

        try:
            return await eventually(holds, what, seconds)  # type: ignore[no-any-return]
        except AssertionError as error:
            raise AssertionError(f"{error}: {await self.status(name)}") from None

    async def gone(self, name: str, seconds: float = 20.0) -> None:
        async def is_gone() -> bool:
            return await self.world.found("v1/pods", "default", name) is None

        await eventually(is_gone, f"pod {name} is gone", seconds)

    async def events(self, reason: str) -> list[str]:
        found = (await self.world.client.list("v1/events", "default")).items
        return [event["message"] for event in found if event["reason"] == reason]


@contextlib.asynccontextmanager
async def running_node(folder: Path, *, with_controllers: bool = False) -> AsyncIterator[Node]:
    async with running_world(folder, with_controllers=with_controllers) as world:
        if not with_controllers:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            await world.client.create("v1/serviceaccounts", "default", account)
        node = Node(world)
        try:
            yield node
            assert not node.task.done(), node.task
        finally:
            await node.kill()


def is_ready(status: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ())


def is_in(phase: str) -> Any:
    return lambda status: status.get("phase") == phase


def waits_for(reason: str, number: int = 0, key: str = "containerStatuses") -> Any:
    def holds(status: Object) -> bool:
        states = status.get(key) or ()
        return len(states) > number and (states[number]["state"].get("waiting") or {}).get("reason") == reason

    return holds


def container(name: str = "a", *command: str, **more: Any) -> Object:
    return {"name": name, "image": "one:1", **({"command": list(command)} if command else {}), **more}
