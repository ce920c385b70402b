"""A registry room on a memory store and a real folder, with short words for what the tests do with it."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from boxship.content import Content, Garbage
from boxship.registry import Actor, LocalImages, Registry, Settings
from boxship.registry.local import Upstream
from boxship.registry.policy import Policy, read_policy
from boxship.spec.image import MEDIA_INDEX, MEDIA_MANIFEST
from boxship.store import Store
from boxship.store.memory import MemoryStore

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
SOMEBODY = Actor("alice", "192.0.2.1", "test")


class NoLayers:
    """A machine without unpacked layers."""

    def layers(self) -> list[str]:
        return []

    async def remove_layer(self, chain_id: str) -> None:
        raise AssertionError(chain_id)


class Clock:
    """Time that goes on when it is told to; nanoseconds."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += int(seconds * 10**9)


class Bench:
    """One registry and what lies under it."""

    def __init__(self, root: Path, store: Store, registry: Registry, content: Content, garbage: Garbage) -> None:
        self.root = root
        self.store = store
        self.registry = registry
        self.content = content
        self.garbage = garbage
        self.clock = Clock()

    async def push_blob(self, name: str, data: bytes, actor: Actor = SOMEBODY, algorithm: str = "sha256") -> str:
        digest = digest_of(data, algorithm)
        await self.registry.pushing.push_blob(name, digest, pieces(data), actor)
        return digest

    async def push_image(
        self, name: str, tag: str, *layers: bytes, actor: Actor = SOMEBODY, subject: str = "", kind: str = ""
    ) -> str:
        """An image of these layers; its digest."""
        for data in (b"{}", *layers):
            await self.push_blob(name, data, actor)
        return await self.push(name, tag, image(layers, subject=subject, kind=kind), actor)

    async def push(self, name: str, tag: str, data: bytes, actor: Actor = SOMEBODY) -> str:
        """A manifest under a tag, or under its digest where that is ""."""
        done = await self.registry.pushing.push_manifest(name, tag or digest_of(data), "", data, actor)
        return done.digest

    async def blobs(self) -> set[str]:
        """The digests that lie on the disk, once the collector is done."""
        await self.garbage.settle()
        return set(await self.content.list())

    def has(self, name: str, reference: str) -> bool:
        from boxship.errors import NotFound

        try:
            self.registry.reading.find(name, reference)
        except NotFound:
            return False
        return True


@contextlib.asynccontextmanager
async def bench(
    root: Path,
    *,
    store: Store | None = None,
    policy: str = "",
    settings: Settings | None = None,
    local: LocalImages | None = None,
    upstreams: dict[str, Upstream] | None = None,
) -> AsyncIterator[Bench]:
    """A started registry; at the end it is away as after kill -9: nothing is put in order."""
    store = store or MemoryStore()
    content = Content(root, store)
    garbage = Garbage(content, NoLayers())
    clock = Clock()
    registry = Registry(
        content,
        garbage,
        store,
        settings,
        policy=read_policy(policy, "policy") if policy else Policy(),
        local=local,
        upstreams=upstreams,
        now=clock,
    )
    made = Bench(root, store, registry, content, garbage)
    made.clock = clock
    await content.recover()
    await registry.recover()
    await garbage.sweep()
    collecting = asyncio.ensure_future(garbage.run())
    try:
        yield made
    finally:
        collecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await collecting


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def descriptor(data: bytes, media_type: str = LAYER, algorithm: str = "sha256") -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data, algorithm), "size": len(data)}


def image(layers: Sequence[bytes] = (), *, subject: str = "", kind: str = "", **more: Any) -> bytes:
    """A manifest with an empty config."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MEDIA_MANIFEST,
        "config": descriptor(b"{}", CONFIG),
        "layers": [descriptor(data) for data in layers],
        **more,
    }
    if kind:
        document["artifactType"] = kind
    if subject:
        document["subject"] = {"mediaType": MEDIA_MANIFEST, "digest": subject, "size": 1}
    return json.dumps(document).encode()


def index(*manifests: bytes, **more: Any) -> bytes:
    entries = [descriptor(data, MEDIA_MANIFEST) for data in manifests]
    return json.dumps({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": entries, **more}).encode()


async def pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    """Data as a client sends it."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
