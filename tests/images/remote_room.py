"""An images room with the way to registries open, for tests of pulls and pushes."""

import asyncio
import json
from pathlib import Path
from typing import Any

from images_kit import config, layer
from remote_registry import FakeRegistry

from boxship.content import Content, Garbage
from boxship.images import Images
from boxship.images.remote.client import Remote
from boxship.images.remote.model import OwnRegistry, Pulled, PullStep, Pushed, PushStep, RemoteLimits, RemoteSettings
from boxship.snapshots import Snapshots
from boxship.spec.reference import parse
from boxship.store.memory import MemoryStore
from boxship.transport.client import Waits

FAST = RemoteLimits(first_pause=0.001, longest_pause=0.002)
SHORT = Waits(connect_seconds=2, first_byte_seconds=0.5, stall_seconds=0.5, window_seconds=0.6, slowest_bytes=1000)


class RemoteRoom:
    """The room, which sleeps no longer than it must: `slept` has the pauses that it wanted."""

    def __init__(self, root: Path, own: OwnRegistry | None = None, **settings: Any) -> None:
        self.root = root
        self.settings = RemoteSettings(**{"limits": FAST, "waits": SHORT, **settings})
        self.own = own
        self.slept: list[float] = []
        self.store = MemoryStore()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def open(self) -> "RemoteRoom":
        self.content = Content(self.root / "content", self.store)
        self.layers = Snapshots(self.root / "snapshots")
        await self.layers.recover(())
        await self.content.recover()
        self.garbage = Garbage(self.content, self.layers)
        remote = Remote(self.settings, own=self.own, sleep=self.sleep)
        self.images = Images(self.content, self.layers, self.garbage, remote)
        await self.images.recover(())
        self.collecting = asyncio.ensure_future(self.garbage.run())
        await self.garbage.sweep()
        return self

    async def close(self) -> None:
        await self.images.close()
        self.collecting.cancel()
        await self.layers.close()

    async def pull(self, name: str, **options: Any) -> list[PullStep | Pulled]:
        return [step async for step in self.images.pull(parse(name), **options)]

    async def push(self, name: str, **options: Any) -> list[PushStep | Pushed]:
        return [step async for step in self.images.push(parse(name), **options)]

    def partials(self) -> list[str]:
        return [partial.name for partial in self.content.partials()]

    async def forget(self) -> None:
        """Remove every image."""
        for image in await self.images.list():
            await self.images.remove(image.id, force=True)

    async def assert_nothing_visible(self) -> None:
        assert await self.images.list() == []
        await self.garbage.settle()
        assert self.layers.layers() == []


def put_image(registry: FakeRegistry, repository: str = "team/app", tag: str = "1", **fields: Any) -> str:
    """An image of two layers in a registry; its manifest's digest."""
    layers = [layer("base"), layer("top", b"y" * 200_000)]
    return registry.add_image(repository, tag, layers, config(layers, **fields))


def digest_of(registry: FakeRegistry, position: int, repository: str = "team/app", tag: str = "1") -> str:
    """The digest of one of its layers."""
    found: str = json.loads(registry.manifests[(repository, tag)][1])["layers"][position]["digest"]
    return found
