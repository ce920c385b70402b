"""The scheduler on an API that fails at random: before a write, after it, in the middle of a watch. No node gets more
than it has at any moment, and in the end everybody who fits has a node."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from scheduler_kit import HOSTNAME
from world_kit import World, eventually, running_world

from boxship.cluster.access import Event
from boxship.cluster.api.inside import Inside
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, unavailable
from boxship.cluster.scheduler.profiles import DEFAULT, Settings
from boxship.cluster.scheduler.running import Scheduler

NODES, PODS, FIT = 3, 24, 18  # six pods on each node
SHARE = 0.15  # of what is asked fails
QUICK = Settings(DEFAULT.profiles, 0.01, 0.05)


class Unreliable:
    """Implements access.Client over one that works."""

    def __init__(self, inner: Inside, seed: int) -> None:
        self._inner = inner
        self._random = random.Random(seed)
        self.failed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _fail(self, share: float = SHARE) -> None:
        if self._random.random() < share:
            self.failed += 1
            raise unavailable("at random")

    async def create(self, resource: str, namespace: str, object: Object, *, subresource: str = "") -> Object:
        self._fail()
        made = await self._inner.create(resource, namespace, object, subresource=subresource)
        self._fail()  # it is done, and nobody is told
        return made

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        self._fail()
        return await self._inner.get(resource, namespace, name)

    async def watch(
        self, resource: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        async for event in self._inner.watch(resource, namespace, version=version, labels=labels, fields=fields):
            yield event
            self._fail(0.03)


async def populate(world: World) -> None:
    for number in range(NODES):
        name = f"n{number}"
        amounts = {"cpu": "600m", "memory": "4Gi", "pods": "30"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {HOSTNAME: name}}}
        made = await world.itself.create("v1/nodes", "", node)
        status = {"capacity": amounts, "allocatable": amounts}
        await world.itself.update("v1/nodes", {**made, "status": status}, subresource="status")


async def add_pod(world: World, name: str) -> None:
    container = {"name": "main", "image": "app", "resources": {"requests": {"cpu": "100m"}}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "serviceAccountName": "default"},
    }
    await world.itself.create("v1/pods", "default", pod)


async def places(world: World) -> dict[str, list[str]]:
    """By node the pods, and none has too many."""
    found: dict[str, list[str]] = {}
    for pod in (await world.itself.list("v1/pods", "default")).items:
        found.setdefault(pod["spec"].get("nodeName", ""), []).append(pod["metadata"]["name"])
    assert all(len(names) <= 6 for name, names in found.items() if name), found
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_fails_nobody_is_forgotten_and_nothing_given_twice(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    async with running_world(tmp_path, with_controllers=False) as world:
        client = Unreliable(world.client, seed)

        def start() -> asyncio.Task[None]:
            return asyncio.create_task(Scheduler(client, QUICK).run())

        running = start()
        await populate(world)
        for number in range(PODS):
            await add_pod(world, f"p{number}")
            if number in (7, 15):  # it is killed, and comes again
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
                running = start()
            await places(world)

        async def settled() -> bool:
            return sum(len(names) for name, names in (await places(world)).items() if name) == FIT

        await eventually(settled, "all that fit have a node", 20.0)
        for name in dice.sample((await places(world))["n1"], 3):  # room for three of those that wait
            with contextlib.suppress(Failure):
                await world.itself.delete("v1/pods", "default", name, grace=0)
        await eventually(settled, "others have taken the room", 20.0)
        assert client.failed
        assert not running.done()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
