"""Pulls from a registry that is good, and from one that lies."""

import gzip
import json

import pytest
from images_kit import config, layer
from remote_registry import OCI_INDEX, OCI_MANIFEST, FakeRegistry, Said
from remote_room import RemoteRoom, digest_of, put_image

from boxship.content import Ingest
from boxship.errors import (
    Exhausted,
    Invalid,
    NotFound,
    Unavailable,
    Unsupported,
)
from boxship.images.remote.model import Pulled, PullStep
from boxship.spec.platform import parse as parse_platform


async def test_pull_tells_docker_s_words_and_names_the_image(puller: RemoteRoom, registry: FakeRegistry) -> None:
    digest = put_image(registry)
    name = f"{registry.host}/team/app:1"
    steps = await puller.pull(name)
    said = [step.status for step in steps if isinstance(step, PullStep)]
    assert said[0] == "Pulling from team/app"
    assert said.count("Pulling fs layer") == said.count("Pull complete") == said.count("Download complete") == 2
    assert said[-2:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {name}"]
    last = steps[-1]
    assert isinstance(last, Pulled) and last.digest == digest
    found = await puller.images.resolve(name)
    assert found.references == (name,) and found.digests == (f"{registry.host}/team/app@{digest}",)
    again = await puller.pull(name)
    assert [step.status for step in again if isinstance(step, PullStep)][
        -1
    ] == f"Status: Image is up to date for {name}"
    assert puller.partials() == [] and puller.images._traffic._puller.keeper._since == {}


async def test_pull_by_digest_gives_no_tag(puller: RemoteRoom, registry: FakeRegistry) -> None:
    digest = put_image(registry)
    await puller.pull(f"{registry.host}/team/app@{digest}")
    found = (await puller.images.list())[0]
    assert found.references == () and found.digests == (f"{registry.host}/team/app@{digest}",)


async def test_every_tag(puller: RemoteRoom, registry: FakeRegistry) -> None:
    for tag in ("1", "2", "latest"):
        put_image(registry, tag=tag)
    await puller.pull(f"{registry.host}/team/app", every_tag=True)
    assert len((await puller.images.list())[0].references) == 3


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
async def test_compressed_layers(puller: RemoteRoom, registry: FakeRegistry, kind: str) -> None:
    zstd = pytest.importorskip("backports.zstd") if kind == "zstd" else None
    layers = [layer("base"), layer("top", b"y" * 200_000)]
    packed = [gzip.compress(x, mtime=0) if zstd is None else zstd.compress(x) for x in layers]
    media_type = f"application/vnd.oci.image.layer.v1.tar+{kind}"
    registry.add_image("app", "1", packed, config(layers), media_type)
    await puller.pull(f"{registry.host}/app:1")
    found = await puller.images.resolve(f"{registry.host}/app:1")
    assert [entry.media_type for entry in found.layers] == [media_type] * 2
    assert all(puller.layers.has_layer(entry.chain_id) for entry in found.layers)


def index_of(registry: FakeRegistry, platforms: list[str]) -> str:
    entries = []
    for text in platforms:
        system, architecture, *variant = text.split("/")
        fields = {"os": system, "architecture": architecture} | ({"variant": variant[0]} if variant else {})
        digest = put_image(registry, tag="", **fields)
        size = len(registry.manifests[("team/app", digest)][1])
        entries.append({"mediaType": OCI_MANIFEST, "digest": digest, "size": size, "platform": fields})
    return registry.add_manifest(
        "team/app", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, OCI_INDEX, "multi"
    )


async def test_index_and_platform(puller: RemoteRoom, registry: FakeRegistry) -> None:
    index = index_of(registry, ["linux/arm/v6", "linux/arm/v7", "linux/arm64", "linux/amd64"])
    name = f"{registry.host}/team/app:multi"
    for wanted, variant in (("linux/arm/v7", "v7"), ("linux/arm64", ""), ("linux/arm/v6", "v6")):
        await puller.pull(name, platform=parse_platform(wanted))
        found = await puller.images.resolve(name)
        assert (found.config.architecture, found.config.variant) == (wanted.split("/")[1], variant)
        assert f"{registry.host}/team/app@{index}" in found.digests
    with pytest.raises(NotFound, match=r"no matching manifest for linux/s390x .* linux/arm/v6, .*linux/amd64"):
        await puller.pull(name, platform=parse_platform("linux/s390x"))


async def test_single_image_of_another_platform(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    with pytest.raises(NotFound, match="does not match the specified platform"):
        await puller.pull(f"{registry.host}/team/app:1", platform=parse_platform("linux/arm64"))
    await puller.assert_nothing_visible()


async def test_missing_things(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    with pytest.raises(NotFound, match=r"manifest for .*team/app:2 not found: manifest unknown: manifest unknown"):
        await puller.pull(f"{registry.host}/team/app:2")
    with pytest.raises(NotFound, match=r"pull access denied for .*none, repository does not exist or may require"):
        await puller.pull(f"{registry.host}/none:2")


# registries that lie


async def test_manifest_with_another_digest(puller: RemoteRoom, registry: FakeRegistry) -> None:
    digest = put_image(registry)
    registry.manifests[("team/app", digest)] = (OCI_MANIFEST, b'{"schemaVersion": 2}')
    with pytest.raises(Invalid, match="manifest verification failed"):
        await puller.pull(f"{registry.host}/team/app@{digest}")
    registry.rule(
        "GET", "manifests/1", lambda asked: Said(headers={"Docker-Content-Digest": "sha256:" + "0" * 64}, body=b"{}")
    )
    with pytest.raises(Invalid, match="manifest verification failed"):
        await puller.pull(f"{registry.host}/team/app:1")
    await puller.assert_nothing_visible()


async def test_layer_with_another_content_or_length(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    lying = digest_of(registry, 1)
    good = registry.blobs[lying]
    for bad in (good[:-1] + b"!", good + b"more", good[:-10]):
        registry.blobs[lying] = bad
        with pytest.raises((Invalid, Unavailable)):
            await puller.pull(f"{registry.host}/team/app:1")
        await puller.assert_nothing_visible()
        assert lying not in await puller.content.list()
        if len(bad) == len(good):
            assert puller.partials() == []
    registry.blobs[lying] = good
    await puller.pull(f"{registry.host}/team/app:1")


async def test_endless_bodies_end(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    lying = digest_of(registry, 1)
    registry.rule("GET", f"blobs/{lying}", Said(body=b"z" * 65536, endless=True))
    with pytest.raises(Invalid, match="more than"):
        await puller.pull(f"{registry.host}/team/app:1")
    registry.calm()
    registry.rule("GET", "manifests/", Said(body=b" " * 65536, endless=True))
    with pytest.raises(Invalid, match="more than"):
        await puller.pull(f"{registry.host}/team/app:1")
    await puller.assert_nothing_visible()


async def test_layer_that_the_config_does_not_name(puller: RemoteRoom, registry: FakeRegistry) -> None:
    layers = [layer("base"), layer("top")]
    registry.add_image("app", "1", layers, config([layer("base"), layer("other")]))
    with pytest.raises(Invalid, match="invalid diffID"):
        await puller.pull(f"{registry.host}/app:1")
    registry.add_image("app", "2", layers, config([layer("base")]))
    with pytest.raises(Invalid, match="layers length mismatch"):
        await puller.pull(f"{registry.host}/app:2")
    await puller.assert_nothing_visible()
    assert await puller.content.list() == ()


async def test_manifest_that_names_missing_blobs(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.members.discard(("team/app", digest_of(registry, 0)))
    with pytest.raises(NotFound):
        await puller.pull(f"{registry.host}/team/app:1")
    await puller.assert_nothing_visible()


async def test_indexes_without_end(puller: RemoteRoom, registry: FakeRegistry) -> None:
    below = put_image(registry, tag="")
    for depth in range(8):
        size = len(registry.manifests[("team/app", below)][1])
        entry = {"mediaType": OCI_INDEX if depth else OCI_MANIFEST, "digest": below, "size": size}
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        below = registry.add_manifest("team/app", document, OCI_INDEX, "deep")
    with pytest.raises(Invalid, match="nested too deep"):
        await puller.pull(f"{registry.host}/team/app:deep")
    itself = "sha256:" + "1" * 64
    document = {"mediaType": OCI_INDEX, "manifests": [{"mediaType": OCI_INDEX, "digest": itself, "size": 1}]}
    data = json.dumps(document).encode()
    registry.manifests[("team/app", "self")] = registry.manifests[("team/app", itself)] = (OCI_INDEX, data)
    with pytest.raises(Invalid, match="verification failed"):
        await puller.pull(f"{registry.host}/team/app:self")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{" * 100_000,
        b'{"schemaVersion":2,"config":{"mediaType":"x","digest":"x","size":1},"layers":[]}',
        b'{"manifests":[],"layers":[],"config":{}}',
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}',
        b"\xff\xfe",
        b"null",
    ],
)
async def test_manifests_that_are_none(puller: RemoteRoom, registry: FakeRegistry, document: bytes) -> None:
    registry.manifests[("app", "1")] = ("application/vnd.oci.image.manifest.v1+json", document)
    with pytest.raises(Invalid):
        await puller.pull(f"{registry.host}/app:1")


async def test_what_is_not_supported_is_named(puller: RemoteRoom, registry: FakeRegistry) -> None:
    registry.manifests[("app", "old")] = (
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        b'{"schemaVersion":1}',
    )
    with pytest.raises(Unsupported, match="schema 1"):
        await puller.pull(f"{registry.host}/app:old")
    part = registry.descriptor("app", b"{}", "application/vnd.cncf.helm.config.v1+json")
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": part, "layers": []}
    registry.add_manifest("app", document, OCI_MANIFEST, "chart")
    with pytest.raises(Unsupported, match="helm"):
        await puller.pull(f"{registry.host}/app:chart")


async def test_more_than_the_disk_holds(puller: RemoteRoom, registry: FakeRegistry) -> None:
    layers = [layer("base")]
    digest = registry.add_image("app", "1", layers, config(layers))
    document = json.loads(registry.manifests[("app", digest)][1])
    for size in (10**17, 10**30):
        document["layers"][0]["size"] = size
        registry.add_manifest("app", document, OCI_MANIFEST, "1")
        with pytest.raises(Exhausted, match=r"cannot store blob .* are free"):
            await puller.pull(f"{registry.host}/app:1")
    await puller.assert_nothing_visible()


async def test_full_disk_in_the_middle(
    puller: RemoteRoom, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_image(registry)

    def write(self: Ingest, data: bytes) -> None:
        raise Exhausted("cannot write: No space left on device")

    monkeypatch.setattr(Ingest, "write", write)
    with pytest.raises(Exhausted, match="No space left"):
        await puller.pull(f"{registry.host}/team/app:1")
    await puller.assert_nothing_visible()
    assert puller.partials() == [] and await puller.content.list() == ()
    monkeypatch.undo()
    await puller.pull(f"{registry.host}/team/app:1")
