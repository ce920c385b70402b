"""Pulls of the older kinds of documents, and with the rarer kinds of credentials."""

import asyncio
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from images_kit import chunks, config, layer, simple
from remote_registry import FakeRegistry, Said, error
from remote_room import RemoteRoom, put_image

from boxship.errors import NotFound, Unauthenticated, Unavailable
from boxship.images.remote import compressing, keeping
from boxship.images.remote.model import Credentials
from boxship.main.own_registry import RemoteUpstream
from boxship.registry.policy import Cache
from boxship.spec.image import DOCKER_CONFIG, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST
from boxship.spec.platform import parse as parse_platform
from boxship.spec.reference import parse

DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def put_schema_two(registry: FakeRegistry, architecture: str) -> dict[str, Any]:
    """An image as Docker's registries have it; its entry in a list."""
    layers = [layer("base"), layer("top", architecture.encode() * 1000)]
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": registry.descriptor("app", config(layers, architecture=architecture), DOCKER_CONFIG),
        "layers": [registry.descriptor("app", gzip.compress(data, mtime=0), DOCKER_LAYER_GZIP) for data in layers],
    }
    digest = registry.add_manifest("app", document, DOCKER_MANIFEST, architecture)
    size = len(registry.manifests[("app", digest)][1])
    platform = {"os": "linux", "architecture": architecture}
    return {"mediaType": DOCKER_MANIFEST, "digest": digest, "size": size, "platform": platform}


async def test_schema_two_and_its_lists(puller: RemoteRoom, registry: FakeRegistry) -> None:
    entries = [put_schema_two(registry, name) for name in ("amd64", "arm64")]
    document = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST_LIST, "manifests": entries}
    digest = registry.add_manifest("app", document, DOCKER_MANIFEST_LIST, "both")
    name = f"{registry.host}/app:both"
    await puller.pull(name, platform=parse_platform("linux/arm64"))
    found = await puller.images.resolve(name)
    assert found.config.architecture == "arm64" and f"{registry.host}/app@{digest}" in found.digests
    assert all(puller.layers.has_layer(entry.chain_id) for entry in found.layers)
    # its digest is the same after a push elsewhere: nothing is translated
    await puller.pull(f"{registry.host}/app:amd64")
    await puller.images.tag(f"{registry.host}/app:amd64", parse(f"{registry.host}/copy:1"))
    assert (await puller.push(f"{registry.host}/copy:1"))[-1].digest == entries[0]["digest"]
    media_type, data = registry.manifests[("copy", "1")]
    assert media_type == DOCKER_MANIFEST and f"sha256:{hashlib.sha256(data).hexdigest()}" == entries[0]["digest"]


async def test_an_identity_token_is_exchanged(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.users, registry.tokens = {"ann": "secret"}, True

    def exchange(asked: Any) -> Said:
        form = parse_qs(asked.body.decode())
        assert form["grant_type"] == ["refresh_token"] and form["service"] == ["fake"]
        if form["refresh_token"] != ["who I am"] or "repository:team/app:pull" not in form["scope"][0]:
            return error(401, "UNAUTHORIZED", "not you")
        registry.valid_tokens.add("exchanged")
        return Said(body=json.dumps({"access_token": "exchanged", "expires_in": 60}).encode())

    registry.rule("POST", "^/token$", exchange)
    name = f"{registry.host}/team/app:1"
    with pytest.raises(Unauthenticated, match="not you"):
        await puller.pull(name, credentials=Credentials(identity_token="somebody"))
    await puller.pull(name, credentials=Credentials(identity_token="who I am"))
    assert not registry.count("GET", "^/token$")


async def test_an_access_token_is_sent_as_it_is(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.users, registry.tokens = {"ann": "secret"}, True
    registry.valid_tokens.add("given")
    await puller.pull(f"{registry.host}/team/app:1", credentials=Credentials(registry_token="given"))
    assert not registry.count("GET", "^/token$")
    await puller.forget()
    with pytest.raises(Unauthenticated):
        await puller.pull(f"{registry.host}/team/app:1", credentials=Credentials(registry_token="over"))


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_cache_goes_on_where_its_upstream_broke_off(
    puller: RemoteRoom, registry: FakeRegistry, ranges: bool
) -> None:
    data = bytes(range(256)) * 2000
    digest = registry.add_blob("lib/box", data)
    upstream = RemoteUpstream(Cache("hub/", registry.host, 0), lambda: puller.images.remote)
    registry.rule("GET", f"blobs/{digest}", Said(body=data, cut=100_000), times=1)
    if not ranges:
        registry.rule("GET", f"blobs/{digest}", Said(body=data, cut=200_000), times=1)
        registry.rule("GET", f"blobs/{digest}", Said(body=data), times=1)
    assert b"".join([piece async for piece in upstream.blob("lib/box", digest)]) == data
    asked = [entry.headers.get("range", "") for entry in registry.asked if entry.path.endswith(digest)]
    assert asked == (["", "bytes=100000-"] if ranges else ["", "bytes=100000-", "bytes=200000-"])
    registry.rule("GET", f"blobs/{digest}", Said(503))
    with pytest.raises(Unavailable):
        assert [piece async for piece in upstream.blob("lib/box", digest)]
    with pytest.raises(NotFound):
        assert [piece async for piece in upstream.blob("lib/none", digest.replace("a", "b"))]


async def test_another_version_of_the_library_may_compress_in_another_way(
    tmp_path: Path, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await RemoteRoom(tmp_path, push_compression="gzip").open()
    name = f"{registry.host}/team/app:1"
    assert [step async for step in room.images.load(chunks(simple(name, b"some text " * 30_000)[0]))]
    first = (await room.push(name))[-1].digest
    registry.members.clear()
    registry.manifests.clear()
    monkeypatch.setattr(compressing, "GZIP_LEVEL", 1)
    monkeypatch.setattr(compressing, "version_of", lambda kind: "newer")
    assert (await room.push(name))[-1].digest != first
    assert ("team/app", "1") in registry.manifests
    await room.close()


async def test_what_an_unfinished_pull_left_goes_where_nothing_is_pulled_any_more(
    puller: RemoteRoom, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_image(registry)
    broken = json.loads(registry.manifests[("team/app", "1")][1])["layers"][1]["digest"]
    registry.rule("GET", f"blobs/{broken}", Said(503))
    with pytest.raises(Unavailable):
        await puller.pull(f"{registry.host}/team/app:1")
    await puller.garbage.settle()
    assert await puller.content.list()
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(keeping, "KEPT_SECONDS", 0)
    running = asyncio.ensure_future(puller.images.expire())
    async with asyncio.timeout(10):
        while await puller.content.list():
            await asyncio.sleep(0.001)
    running.cancel()
