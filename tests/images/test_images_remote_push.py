"""Pushes: what is sent, what is not, and what happens when the registry breaks off."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from images_kit import chunks, sha, simple
from remote_registry import FakeRegistry, Said, error
from remote_room import RemoteRoom, put_image

from boxship.errors import Denied, Invalid, NotFound, Unauthenticated, Unavailable
from boxship.images.remote.model import Credentials, PushStep
from boxship.images.remote.uploading import WHOLE_BYTES
from boxship.spec.reference import parse


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[RemoteRoom]:
    made = await RemoteRoom(tmp_path).open()
    yield made
    await made.close()


async def load(room: RemoteRoom, name: str, content: bytes = b"y" * 300_000) -> str:
    """An image of two plain layers under a name; its id."""
    data, identifier = simple(name, content)
    assert [step async for step in room.images.load(chunks(data))]
    return identifier


def words(steps: Sequence[Any]) -> list[str]:
    return [step.status for step in steps if isinstance(step, PushStep)]


async def test_push_and_pull_back_have_one_digest(room: RemoteRoom, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/app:1"
    identifier = await load(room, name)
    steps = await room.push(name)
    said = words(steps)
    assert said[0] == f"The push refers to repository [{registry.host}/team/app]"
    assert said.count("Preparing") == said.count("Pushed") == 2
    digest = steps[-1].digest
    size = len(registry.manifests[("team/app", "1")][1])
    assert said[-1] == f"1: digest: {digest} size: {size}"
    assert (await room.images.resolve(name)).digests == (f"{registry.host}/team/app@{digest}",)
    registry.asked.clear()
    assert words(await room.push(name)).count("Layer already exists") == 2
    assert registry.count("POST", "uploads") == 0
    await room.forget()
    await room.pull(name)
    found = await room.images.resolve(name)
    assert found.id == identifier and found.manifest == digest


async def test_push_of_a_name_that_is_not_here(room: RemoteRoom, registry: FakeRegistry) -> None:
    for every in (False, True):
        with pytest.raises(NotFound, match="An image does not exist locally with the tag: "):
            await room.push(f"{registry.host}/none", every_tag=every)


async def test_every_tag_and_mounts(room: RemoteRoom, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/app"
    await load(room, f"{name}:1")
    await room.images.tag(f"{name}:1", parse(f"{name}:2"))
    await room.push(name, every_tag=True)
    assert {tag for _, tag in registry.manifests if ":" not in tag} == {"1", "2"}
    other = f"{registry.host}/other:1"
    await room.images.tag(f"{name}:1", parse(other))
    assert words(await room.push(other)).count("Mounted from team/app") == 2
    registry.members = {member for member in registry.members if member[0] != "other"}
    registry.rule("POST", "uploads", lambda asked: Said(403) if "mount" in asked.query else None)
    assert words(await room.push(other)).count("Pushed") == 2


async def test_broken_upload_goes_on(room: RemoteRoom, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/app:1"
    await load(room, name)
    layers = (await room.images.resolve(name)).layers
    broken = layers[1].blob

    def swallow(asked: Any) -> Said | None:
        """Half of it arrives, then the connection is gone."""
        if asked.query.get("digest") != [broken]:
            return None
        upload = asked.path.rpartition("/")[2]
        registry.uploads[upload] += asked.body[:100_000]
        return Said(502)

    registry.rule("PUT", "uploads", swallow, times=3)
    await room.push(name)
    parts = [asked for asked in registry.asked if asked.method == "PATCH"]
    assert [asked.headers["content-range"] for asked in parts] == [f"100000-{layers[1].blob_size - 1}"]
    assert registry.blobs[broken]


async def test_large_layer_goes_in_a_part_that_can_be_continued(room: RemoteRoom, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/app:1"
    await load(room, name, b"y" * WHOLE_BYTES)
    size = (await room.images.resolve(name)).layers[1].blob_size

    def swallow(asked: Any) -> Said:
        registry.uploads[asked.path.rpartition("/")[2]] += asked.body[:1_000_000]
        return Said(502)

    registry.rule("PATCH", "uploads", swallow, times=2)
    await room.push(name)
    ranges = [asked.headers["content-range"] for asked in registry.asked if asked.method == "PATCH"]
    assert ranges == [f"{start}-{size - 1}" for start in (0, 1_000_000, 2_000_000)]


async def test_upload_that_cannot_be_continued_begins_again(room: RemoteRoom, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/app:1"
    await load(room, name, b"y" * WHOLE_BYTES)
    registry.rule("PATCH", "uploads", Said(502), times=1)
    registry.rule("PATCH", "uploads", error(416, "BLOB_UPLOAD_INVALID", "wrong offset"), times=1)
    await room.push(name)
    assert registry.count("PATCH", "uploads") == 3
    registry.members.clear()
    registry.rule("PATCH", "uploads", error(400, "BLOB_UPLOAD_INVALID", "never"))
    with pytest.raises(Invalid, match="never"):
        await room.push(name)


async def test_forgotten_upload_begins_again(room: RemoteRoom, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/app:1"
    await load(room, name)
    registry.rule("PUT", "uploads", error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"), times=1)
    await room.push(name)
    registry.rule("PUT", "manifests", Said(500), times=2)
    await load(room, name, b"other" * 1000)
    before = registry.manifests[("team/app", "1")]
    await room.push(name)
    assert registry.manifests[("team/app", "1")] != before


async def test_push_that_fails_leaves_no_tag(room: RemoteRoom, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/app:1"
    await load(room, name)
    registry.rule("PUT", "uploads", Said(500))
    with pytest.raises(Unavailable, match="500"):
        await room.push(name)
    assert not registry.manifests and (await room.images.resolve(name)).digests == ()


async def test_who_we_are(room: RemoteRoom, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/app:1"
    await load(room, name)
    registry.users, registry.tokens = {"ann": "secret"}, True
    with pytest.raises(Unauthenticated):
        await room.push(name, credentials=Credentials("ann", "wrong"))
    await room.push(name, credentials=Credentials("ann", "secret"))
    assert ["repository:team/app:pull,push"] in registry.token_scopes
    other = f"{registry.host}/other:1"
    await room.images.tag(name, parse(other))
    await room.push(other, credentials=Credentials("ann", "secret"))
    assert ["repository:other:pull,push", "repository:team/app:pull"] in registry.token_scopes
    registry.rule("PUT", "manifests", error(403, "DENIED", "requested access to the resource is denied"))
    with pytest.raises(Denied, match="denied: requested access to the resource is denied"):
        await room.push(name, credentials=Credentials("ann", "secret"))


async def test_upload_elsewhere_gets_no_credentials(room: RemoteRoom, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/app:1"
    await load(room, name)
    registry.users = {"ann": "secret"}
    with FakeRegistry() as storage:
        storage.rule("PUT", "/put/", Said(201))
        registry.rule("POST", "uploads", lambda asked: Said(202, {"Location": f"{storage.url}/put/1?sig=x"}))
        await room.push(name, credentials=Credentials("ann", "secret"))
        assert len(storage.asked) == 3 and all("authorization" not in asked.headers for asked in storage.asked)
        assert all(asked.query["sig"] == ["x"] for asked in storage.asked)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
async def test_plain_layers_are_made_smaller_in_one_way(tmp_path: Path, registry: FakeRegistry, kind: str) -> None:
    room = await RemoteRoom(tmp_path, push_compression=kind).open()
    name = f"{registry.host}/team/app:1"
    identifier = await load(room, name)
    first = (await room.push(name))[-1].digest
    manifest = json.loads(registry.manifests[("team/app", "1")][1])
    assert all(entry["mediaType"].endswith(f"tar+{kind}") for entry in manifest["layers"])
    assert sum(entry["size"] for entry in manifest["layers"]) < 10_000
    registry.manifests.clear()
    registry.members.clear()
    assert (await room.push(name))[-1].digest == first
    room.images._traffic._pusher._compressor._known.clear()
    again = await room.push(f"{registry.host}/team/app:1")
    assert again[-1].digest == first and words(again).count("Layer already exists") == 2
    assert f"{registry.host}/team/app@{first}" in (await room.images.resolve(name)).digests
    await room.forget()
    await room.pull(name)
    assert (await room.images.resolve(name)).id == identifier
    await room.garbage.settle()
    assert len(await room.content.list()) == 4
    await room.close()


async def test_index_is_pushed_whole_or_as_one_image(room: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    await room.pull(f"{registry.host}/team/app:1")
    first = json.loads(registry.manifests[("team/app", "1")][1])
    entry = {"mediaType": first["mediaType"], "digest": digest_of_manifest(registry), "size": size_of(registry)}
    there = {**entry, "platform": {"os": "linux", "architecture": "amd64"}}
    away = {
        "mediaType": first["mediaType"],
        "digest": "sha256:" + "5" * 64,
        "size": 7,
        "platform": {"os": "linux", "architecture": "arm64"},
    }
    kind = "application/vnd.oci.image.index.v1+json"
    for tag, entries, whole in (("whole", [there], True), ("part", [there, away], False)):
        index = registry.add_manifest(
            "team/app", {"schemaVersion": 2, "mediaType": kind, "manifests": entries}, kind, tag
        )
        name = f"{registry.host}/team/app:{tag}"
        await room.pull(name)
        await room.images.tag(name, parse(f"{registry.host}/copy:{tag}"))
        pushed = (await room.push(f"{registry.host}/copy:{tag}"))[-1].digest
        assert pushed == (index if whole else entry["digest"])


def digest_of_manifest(registry: FakeRegistry) -> str:
    return f"sha256:{sha(registry.manifests[('team/app', '1')][1])}"


def size_of(registry: FakeRegistry) -> int:
    return len(registry.manifests[("team/app", "1")][1])


class Own:
    """The registry of this daemon, as the room sees it."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, str]] = []

    def serves(self, domain: str) -> bool:
        return domain == "own.example:5000"

    async def accept(
        self, repository: str, tag: str, manifest_digest: str, media_type: str, credentials: Credentials | None
    ) -> None:
        assert credentials is not None
        self.taken.append((repository, tag, manifest_digest))


async def test_push_to_our_own_registry_moves_nothing(tmp_path: Path) -> None:
    own = Own()
    room = await RemoteRoom(tmp_path, own).open()
    await load(room, "own.example:5000/app:1")
    steps = await room.push("own.example:5000/app:1")
    assert words(steps).count("Layer already exists") == 2
    assert own.taken == [("app", "1", steps[-1].digest)]
    await room.close()


async def test_cancelled_push_ends(room: RemoteRoom, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/app:1"
    await load(room, name)
    registry.rule("PUT", "uploads", Said(hang=True))
    pushing = asyncio.ensure_future(room.push(name))
    while not registry.count("PUT", "uploads"):
        await asyncio.sleep(0.01)
    pushing.cancel()
    await asyncio.wait([pushing], timeout=5)
    assert pushing.cancelled()
    assert not registry.manifests
