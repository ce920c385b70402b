"""Repositories of another registry: fetched once, verified, looked at again, served while it is away."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from boxship.errors import BoxshipError, Invalid, NotFound, Unavailable
from boxship.registry.local import UpstreamManifest
from boxship.registry.refusals import BlobUnknown, DigestInvalid, ManifestUnknown, ReadOnly
from boxship.spec.image import MEDIA_INDEX, MEDIA_MANIFEST
from registry_kit import SOMEBODY, Bench, bench, descriptor, digest_of, image, index, pieces

POLICY = """
[[cache]]
prefix = "hub"
upstream = "registry.example.org"
refresh = "1h"
"""


class Other:
    """Another registry, in memory."""

    def __init__(self) -> None:
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.away = False
        self.asked: Counter[str] = Counter()

    def publish(self, name: str, tag: str, data: bytes, *blobs: bytes) -> str:
        for blob in (b"{}", *blobs):
            self.blobs[digest_of(blob)] = blob
        for reference in (tag, digest_of(data)):
            self.manifests[f"{name} {reference}"] = data
        return digest_of(data)

    def _ask(self, what: str) -> None:
        self.asked[what] += 1
        if self.away:
            raise Unavailable("cannot reach registry.example.org")

    async def digest(self, repository: str, tag: str) -> str:
        self._ask("digest")
        if f"{repository} {tag}" not in self.manifests:
            raise NotFound(f"no {tag}")
        return digest_of(self.manifests[f"{repository} {tag}"])

    async def manifest(self, repository: str, reference: str) -> UpstreamManifest:
        self._ask("manifest")
        data = self.manifests.get(f"{repository} {reference}")
        if data is None:
            raise NotFound(f"no {reference}")
        return UpstreamManifest(digest_of(data), json.loads(data)["mediaType"], data)

    async def blob(self, repository: str, digest: str) -> AsyncIterator[bytes]:
        self._ask("blob")
        if digest not in self.blobs:
            raise NotFound(f"no {digest}")
        async for piece in pieces(self.blobs[digest]):
            await asyncio.sleep(0)
            yield piece


@pytest.fixture
def other() -> Other:
    return Other()


@pytest.fixture
async def made(tmp_path: Path, other: Other):  # type: ignore[no-untyped-def]
    async with bench(tmp_path, policy=POLICY, upstreams={"hub/": other}) as one:
        yield one


async def pull(made: Bench, name: str, reference: str) -> list[bytes]:
    """A manifest and its blobs, as a client pulls them."""
    found = await made.registry.caching.find(name, reference)
    data = await made.registry.reading.read(found)
    document: dict[str, Any] = json.loads(data)
    got = [data]
    for part in [document["config"], *document["layers"]]:
        assert await made.registry.caching.blob(name, part["digest"]) == part["size"]
        got.append(made.registry.reading.open_blob(part["digest"]).readall())
    return got


async def test_what_is_pulled_is_kept(made: Bench, other: Other) -> None:
    other.publish("lib/box", "1", image([b"layer"]), b"layer")
    for _ in range(2):
        assert await pull(made, "hub/lib/box", "1") == [image([b"layer"]), b"{}", b"layer"]
    assert other.asked == {"manifest": 1, "blob": 2}
    assert made.registry.reading.tags("hub/lib/box") == (["1"], False)
    other.away = True
    made.clock.pass_seconds(3601)
    assert (await pull(made, "hub/lib/box", "1"))[1] == b"{}"
    assert other.asked["digest"] == 1


async def test_a_tag_that_moved_there(made: Bench, other: Other) -> None:
    old = other.publish("box", "1", image([b"old"]), b"old")
    await pull(made, "hub/box", "1")
    new = other.publish("box", "1", image([b"new"]), b"new")
    assert (await made.registry.caching.find("hub/box", "1")).digest == old
    made.clock.pass_seconds(3601)
    assert (await made.registry.caching.find("hub/box", "1")).digest == new
    assert (await made.registry.caching.find("hub/box", old)).digest == old
    made.clock.pass_seconds(3601)
    asked = other.asked["manifest"]
    await made.registry.caching.find("hub/box", "1")
    assert other.asked["manifest"] == asked  # only compared


async def test_an_index_is_followed_as_far_as_asked(made: Bench, other: Other) -> None:
    first, second = image([b"amd64"]), image([b"arm64"])
    other.publish("box", "-", first, b"amd64")
    whole = other.publish("box", "all", index(first, second))
    assert (await made.registry.caching.find("hub/box", "all")).media_type == MEDIA_INDEX
    assert (await pull(made, "hub/box", digest_of(first)))[2] == b"amd64"
    with pytest.raises(ManifestUnknown):
        await made.registry.caching.find("hub/box", digest_of(second))
    await made.registry.deleting.delete("hub/box", whole, SOMEBODY)
    assert await made.blobs() == set()


async def test_what_is_not_there(made: Bench, other: Other) -> None:
    with pytest.raises(ManifestUnknown):
        await made.registry.caching.find("hub/box", "1")
    other.publish("box", "1", image([b"layer"]))
    await made.registry.caching.find("hub/box", "1")
    for digest in (digest_of(b"layer"), digest_of(b"unnamed")):
        with pytest.raises(BlobUnknown):
            await made.registry.caching.blob("hub/box", digest)
    assert other.asked["blob"] == 1  # what no manifest names is not asked for
    other.away = True
    with pytest.raises(Unavailable):
        await made.registry.caching.find("hub/box", "2")


async def test_lies_are_not_kept(made: Bench, other: Other) -> None:
    other.publish("box", "1", image([b"layer"]), b"layer")
    other.blobs[digest_of(b"layer")] = b"other"
    other.manifests[f"box {digest_of(b'?')}"] = image()
    await made.registry.caching.find("hub/box", "1")
    with pytest.raises(Invalid):
        await made.registry.caching.blob("hub/box", digest_of(b"layer"))
    other.blobs[digest_of(b"layer")] = b"layer" * 1_000_000
    with pytest.raises(Invalid):
        await made.registry.caching.blob("hub/box", digest_of(b"layer"))
    with pytest.raises(DigestInvalid):
        await made.registry.caching.find("hub/box", digest_of(b"?"))
    other.manifests["box bad"] = json.dumps({"mediaType": MEDIA_MANIFEST, "schemaVersion": 2}).encode()
    with pytest.raises(BoxshipError):
        await made.registry.caching.find("hub/box", "bad")
    assert await made.blobs() == {digest_of(image([b"layer"]))}


async def test_clients_at_the_same_time_share_one_fetch(made: Bench, other: Other) -> None:
    layer = b"layer" * 10_000
    other.publish("box", "1", image([layer]), layer)
    got = await asyncio.gather(*(pull(made, "hub/box", "1") for _ in range(20)))
    assert all(one == got[0] for one in got)
    assert other.asked == {"manifest": 1, "blob": 2}


async def test_nothing_is_pushed_to_it(made: Bench, other: Other) -> None:
    await made.push_blob("own", b"{}")
    pushing = made.registry.pushing
    with pytest.raises(ReadOnly):
        await pushing.start_upload("hub/box")
    with pytest.raises(ReadOnly):
        await pushing.push_manifest("hub/box", "x", MEDIA_MANIFEST, image(), SOMEBODY)
    with pytest.raises(ReadOnly):
        await pushing.mount("hub/box", digest_of(b"{}"), "own", SOMEBODY)
    with pytest.raises(ReadOnly):
        await made.push_blob("hub/box", b"x")
    await made.push("own", "hub", image())


async def test_retention_counts_from_the_last_look(tmp_path: Path, other: Other) -> None:
    policy = POLICY + '[[repository]]\nmatch = ["hub/**"]\nkeep-for = "10h"\n'
    async with bench(tmp_path, policy=policy, upstreams={"hub/": other}) as made:
        other.publish("box", "1", image([b"one"]), b"one")
        other.publish("box", "2", image([b"two"]), b"two")
        await pull(made, "hub/box", "1")
        await pull(made, "hub/box", "2")
        for _ in range(11):
            made.clock.pass_seconds(3601)
            await made.registry.caching.find("hub/box", "2")
            await made.registry.expire()
        assert made.registry.reading.tags("hub/box")[0] == ["2"]
        assert digest_of(b"one") not in await made.blobs()


async def test_what_is_kept_survives_a_restart(tmp_path: Path, other: Other) -> None:
    from boxship.store.memory import MemoryStore

    store = MemoryStore()
    other.publish("box", "1", image([b"layer"]), b"layer")
    async with bench(tmp_path, policy=POLICY, upstreams={"hub/": other}, store=store) as made:
        await pull(made, "hub/box", "1")
    other.away = True
    async with bench(tmp_path, policy=POLICY, upstreams={"hub/": other}, store=store) as made:
        assert await pull(made, "hub/box", "1") == [image([b"layer"]), b"{}", b"layer"]


def test_descriptor_sizes_are_those_of_the_blobs() -> None:
    assert descriptor(b"abc")["size"] == 3
