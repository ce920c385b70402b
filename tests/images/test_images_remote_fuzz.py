"""Documents of registries with anything changed in them: refused in words, or pulled whole; never half."""

import copy
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from images_kit import config, layer
from remote_registry import OCI_INDEX, OCI_MANIFEST, FakeRegistry, sha
from remote_room import RemoteRoom

from boxship.errors import BoxshipError

ROUNDS = 150
VALUES: tuple[Any, ...] = (
    None,
    "",
    "x",
    -1,
    0,
    2**70,
    1.5,
    True,
    [],
    {},
    [None],
    {"digest": "sha256:0"},
    "sha256:" + "0" * 64,
    "sha512:" + "a" * 128,
    "../../etc/passwd",
    "a" * 5000,
    "\x00",
    "\ud800",
    OCI_INDEX,
    OCI_MANIFEST,
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ["http://127.0.0.1/x"],
)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[RemoteRoom]:
    made = await RemoteRoom(tmp_path).open()
    yield made
    await made.close()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path into a document."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def changed(document: Any, chance: random.Random) -> Any:
    """The document with one to three things replaced, removed or doubled."""
    document = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        found = list(places(document))
        if not found:
            break
        *path, last = chance.choice(found)
        inner = document
        for key in path:
            inner = inner[key]
        action = chance.random()
        if action < 0.6:
            inner[last] = chance.choice(VALUES)
        elif action < 0.8:
            del inner[last]
        elif isinstance(inner, list):
            inner.append(inner[last])
        else:
            inner[chance.choice(("urls", "manifests", "subject", "x", "layers"))] = inner[last]
    return document


async def test_changed_documents(room: RemoteRoom, registry: FakeRegistry) -> None:
    chance = random.Random(42)
    layers = [layer("base"), layer("top")]
    settings = json.loads(config(layers))
    name = f"{registry.host}/app:1"
    outcomes = {"pulled": 0, "refused": 0}
    for turn in range(ROUNDS):
        kind = turn % 3
        configured = json.dumps(changed(settings, chance) if kind == 0 else settings).encode()
        digest = registry.add_image("app", "1", layers, configured)
        manifest = json.loads(registry.manifests[("app", digest)][1])
        if kind == 1:
            registry.add_manifest("app", json.dumps(changed(manifest, chance)).encode(), OCI_MANIFEST, "1")
        elif kind == 2:
            size = len(registry.manifests[("app", digest)][1])
            entry = {
                "mediaType": OCI_MANIFEST,
                "digest": digest,
                "size": size,
                "platform": {"os": "linux", "architecture": "amd64"},
            }
            index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
            registry.add_manifest("app", json.dumps(changed(index, chance)).encode(), OCI_INDEX, "1")
        try:
            await room.pull(name)
        except BoxshipError as error:
            outcomes["refused"] += 1
            assert str(error)
            assert await room.images.list() == []
        else:
            outcomes["pulled"] += 1
            found = await room.images.resolve(name)
            assert all(room.layers.has_layer(entry.chain_id) for entry in found.layers)
            await room.forget()
    assert min(outcomes.values()) > 10, outcomes
    await room.garbage.settle()
    assert await room.content.list() == () and room.layers.layers() == []


async def test_documents_of_random_bytes(room: RemoteRoom, registry: FakeRegistry) -> None:
    chance = random.Random(7)
    layers = [layer("base")]
    registry.add_image("app", "1", layers, config(layers))
    good = registry.manifests[("app", "1")][1]
    for _ in range(60):
        data = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        registry.manifests[("app", "1")] = (OCI_MANIFEST, bytes(data))
        try:
            await room.pull(f"{registry.host}/app:1")
        except BoxshipError:
            continue
        found = await room.images.resolve(f"{registry.host}/app:1")
        assert found.digests == (f"{registry.host}/app@{sha(bytes(data))}",)
        await room.forget()
