"""A node's volumes over an API in memory, as the node's own user, with real mounts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from world_kit import World, running_world

from boxship.cluster.api.inside import Inside
from boxship.cluster.api.request import User
from boxship.cluster.node.plan.facts import NodeFacts
from boxship.cluster.node.plan.starting import Files, make_files
from boxship.cluster.node.runtime import ImageStatus
from boxship.cluster.objects import Object
from boxship.errors import NotFound
from boxship.main.control_controllers import Guarded
from boxship.volumes.mountpoints import MountPoints

FIRST_USER = 1_879_048_192
NODE = User("system:node:one", ("system:nodes", "system:authenticated"))


class Images:
    async def image(self, reference: str) -> ImageStatus | None:
        return ImageStatus(reference)

    async def reserve_users(self, uid: str) -> int:
        return FIRST_USER

    async def mount_image(self, uid: str, reference: str) -> str:
        if reference == "none":
            raise NotFound("no such image: none")
        return f"/trees/{reference}"

    async def unmount_images(self, uid: str) -> None:
        return None


class Node:
    """One node's files; `restart` makes them anew, as after a kill."""

    def __init__(self, world: World, root: Path) -> None:
        self.world = world
        self.root = root
        self.client = Inside(Guarded(world.api, world.authorizer), world.catalog, NODE, "agent")
        self.mounts = MountPoints()
        self.facts = NodeFacts(node="one", root=root, cgroup="boxship-pods-test", addresses=("192.0.2.1",))
        self.files: Files
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self.files = make_files(self.client, images=Images(), mounts=self.mounts, facts=self.facts)
        self.tasks = [asyncio.create_task(_run(part)) for part in self.files.parts]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def restart(self) -> None:
        await self.stop()
        self.start()

    async def pod(self, *volumes: Object, name: str = "web", **spec: Any) -> Object:
        """One that is bound to the node."""
        made = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {
                "nodeName": "one",
                "automountServiceAccountToken": False,
                "containers": [{"name": "main", "image": "busybox"}],
                "volumes": list(volumes),
                **spec,
            },
        }
        return await self.world.client.create("v1/pods", "default", made)

    async def prepare(self, pod: Object) -> dict[str, Path]:
        return {name: Path(one.path) for name, one in (await self.files.volumes.prepare(pod)).items()}


async def _run(part: Any) -> None:
    await part()


@contextlib.asynccontextmanager
async def running_node(folder: Path) -> AsyncIterator[Node]:
    async with running_world(folder / "world", with_controllers=False) as world:
        node = Node(world, folder / "pods")
        await world.client.create("v1/nodes", "", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await world.client.create("v1/serviceaccounts", "default", account)
        node.start()
        try:
            yield node
            for task in node.tasks:
                assert not task.done(), task
        finally:
            await node.stop()
            for uid in node.files.volumes.known():
                await node.files.volumes.release(uid)
            node.mounts.unmount(node.root / "memory")
