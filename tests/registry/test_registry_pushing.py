"""Pushing and pulling in the room: what is accepted, what is refused, what can be read."""

import json

import pytest

from boxship.errors import NotFound
from boxship.registry.refusals import (
    BlobUnknown,
    DigestInvalid,
    InUse,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PartUnknown,
    QuotaReached,
    SizeInvalid,
    TagInvalid,
    TagKept,
)
from boxship.spec.image import DOCKER_MANIFEST, MEDIA_INDEX, MEDIA_MANIFEST
from registry_kit import CONFIG, LAYER, SOMEBODY, Bench, bench, descriptor, digest_of, image, index, pieces


@pytest.fixture
async def made(tmp_path):  # type: ignore[no-untyped-def]
    async with bench(tmp_path) as one:
        yield one


async def test_an_image_is_pushed_and_read(made: Bench) -> None:
    digest = await made.push_image("a/b", "one", b"layer")
    reading = made.registry.reading
    found = reading.find("a/b", "one")
    assert found.digest == digest == digest_of(await reading.read(found)) and found.media_type == MEDIA_MANIFEST
    assert reading.find("a/b", digest) == found
    assert reading.blob("a/b", digest_of(b"layer")) == 5
    assert reading.open_blob(digest_of(b"layer")).read() == b"layer"
    assert reading.tags("a/b") == (["one"], False)
    assert reading.catalogue("", None, lambda name: True) == (["a/b"], False)


async def test_sha512_throughout(made: Bench) -> None:
    layer = await made.push_blob("a", b"layer", algorithm="sha512")
    config = await made.push_blob("a", b"{}", algorithm="sha512")
    document = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_MANIFEST,
            "config": {**descriptor(b"{}", CONFIG), "digest": config},
            "layers": [{**descriptor(b"layer"), "digest": layer}],
        }
    ).encode()
    digest = digest_of(document, "sha512")
    await made.registry.pushing.push_manifest("a", digest, MEDIA_MANIFEST, document, SOMEBODY)
    assert await made.registry.reading.read(made.registry.reading.find("a", digest)) == document
    assert await made.blobs() == {layer, config, digest}
    await made.registry.deleting.delete("a", digest, SOMEBODY)
    assert await made.blobs() == set()


@pytest.mark.parametrize("name", ["A", "a//b", "/a", "a/", "a_-b", "a" * 256, "", "..", "a/../b", "ä", "a\n"])
async def test_wrong_names(made: Bench, name: str) -> None:
    with pytest.raises(NameInvalid):
        await made.registry.pushing.start_upload(name)
    with pytest.raises(NameInvalid):
        made.registry.reading.find(name, "x")
    with pytest.raises(NameInvalid):
        await made.registry.deleting.delete(name, "x", SOMEBODY)


@pytest.mark.parametrize("tag", ["", ".a", "-a", "a" * 129, "a b", "ä", "a/b"])
async def test_wrong_tags(made: Bench, tag: str) -> None:
    await made.push_blob("a", b"{}")
    with pytest.raises(TagInvalid):
        await made.registry.pushing.push_manifest("a", tag, MEDIA_MANIFEST, image(), SOMEBODY)


async def test_what_is_missing(made: Bench) -> None:
    reading = made.registry.reading
    with pytest.raises(NameUnknown):
        reading.find("a", "x")
    with pytest.raises(NameUnknown):
        reading.tags("a")
    with pytest.raises(NameUnknown):
        reading.blob("a", digest_of(b"x"))
    await made.push_image("a", "one")
    with pytest.raises(ManifestUnknown):
        reading.find("a", "x")
    with pytest.raises(ManifestUnknown):
        reading.find("a", digest_of(b"x"))
    with pytest.raises(BlobUnknown):
        reading.blob("a", digest_of(b"x"))
    with pytest.raises(DigestInvalid):
        reading.blob("a", "sha256:abc")
    with pytest.raises(DigestInvalid):
        reading.find("a", "md5:" + "0" * 32)


async def test_a_blob_of_another_repository_is_not_seen(made: Bench) -> None:
    await made.push_image("a", "one", b"secret")
    await made.push_blob("b", b"{}")
    with pytest.raises(BlobUnknown):
        made.registry.reading.blob("b", digest_of(b"secret"))
    with pytest.raises(PartUnknown):
        await made.push("b", "x", image([b"secret"]))
    assert await made.registry.pushing.mount("b", digest_of(b"secret"), "a", SOMEBODY)
    await made.push("b", "x", image([b"secret"]))
    assert not await made.registry.pushing.mount("b", digest_of(b"nothing"), "a", SOMEBODY)
    assert not await made.registry.pushing.mount("b", digest_of(b"secret"), "nowhere", SOMEBODY)


WRONG = {
    "no json": b"\xff{",
    "a list": b"[]",
    "deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "schema 1": json.dumps({"schemaVersion": 1}).encode(),
    "no type": json.dumps({"schemaVersion": 2, "config": descriptor(b"{}"), "layers": []}).encode(),
    "other type": json.dumps({"schemaVersion": 2, "mediaType": "text/plain"}).encode(),
    "both": json.dumps({**json.loads(image()), "manifests": []}).encode(),
    "index with layers": json.dumps({**json.loads(index()), "layers": []}).encode(),
    "index without manifests": json.dumps({"schemaVersion": 2, "mediaType": MEDIA_INDEX}).encode(),
    "no config": json.dumps({**json.loads(image()), "config": None}).encode(),
    "layers no list": json.dumps({**json.loads(image()), "layers": {}}).encode(),
    "negative size": json.dumps({**json.loads(image()), "layers": [{**descriptor(b"x"), "size": -1}]}).encode(),
    "size a bool": json.dumps({**json.loads(image()), "layers": [{**descriptor(b"x"), "size": True}]}).encode(),
    "no digest": json.dumps({**json.loads(image()), "layers": [{"mediaType": LAYER, "size": 1}]}).encode(),
    "bad digest": json.dumps({**json.loads(image()), "layers": [{**descriptor(b"x"), "digest": "x"}]}).encode(),
    "no media type": json.dumps({**json.loads(image()), "layers": [{**descriptor(b"x"), "mediaType": ""}]}).encode(),
    "subject no descriptor": image(subject="").replace(b'"layers"', b'"subject": 3, "layers"'),
    "annotations": image(annotations={"a": 1}, subject={"mediaType": "x", "digest": digest_of(b"1"), "size": 1}),  # type: ignore[arg-type]
    "artifact type": image(artifactType=3),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG.keys())
async def test_wrong_manifests(made: Bench, data: bytes) -> None:
    await made.push_blob("a", b"{}")
    with pytest.raises(ManifestInvalid):
        await made.push("a", "x", data)
    assert not made.has("a", "x")


async def test_limits_of_manifests(made: Bench) -> None:
    await made.push_blob("a", b"{}")
    with pytest.raises(ManifestInvalid, match=str(made.registry.settings.manifest_bytes)):
        await made.push("a", "x", image(annotations={"a": "b" * made.registry.settings.manifest_bytes}))
    many = image([b"%d" % number for number in range(made.registry.settings.manifest_parts + 1)])
    with pytest.raises(ManifestInvalid, match=str(made.registry.settings.manifest_parts)):
        await made.push("a", "x", many)


async def test_the_request_and_the_manifest_must_agree(made: Bench) -> None:
    await made.push_blob("a", b"{}")
    push = made.registry.pushing.push_manifest
    with pytest.raises(ManifestInvalid):
        await push("a", "x", DOCKER_MANIFEST, image(), SOMEBODY)
    with pytest.raises(DigestInvalid):
        await push("a", digest_of(b"other"), MEDIA_MANIFEST, image(), SOMEBODY)
    bare = json.dumps({"schemaVersion": 2, "config": descriptor(b"{}", CONFIG), "layers": []}).encode()
    await push("a", "x", f"{MEDIA_MANIFEST}; charset=utf-8", bare, SOMEBODY)
    assert made.registry.reading.find("a", "x").media_type == MEDIA_MANIFEST


async def test_parts_must_be_there_with_their_sizes(made: Bench) -> None:
    await made.push_blob("a", b"{}")
    with pytest.raises(PartUnknown, match=digest_of(b"layer")):
        await made.push("a", "x", image([b"layer"]))
    await made.push_blob("a", b"layer")
    lying = image(layers=(), annotations={}).replace(
        b'"layers": []', f'"layers": [{json.dumps({**descriptor(b"layer"), "size": 6})}]'.encode()
    )
    with pytest.raises(SizeInvalid):
        await made.push("a", "x", lying)
    with pytest.raises(PartUnknown):
        await made.push("a", "x", index(image([b"layer"])))
    await made.push("a", "", image([b"layer"]))
    await made.push("a", "x", index(image([b"layer"])))


async def test_layers_that_lie_elsewhere_need_not_be_here(made: Bench) -> None:
    await made.push_blob("a", b"{}")
    foreign = {
        **descriptor(b"windows", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        "urls": ["https://x"],
    }
    data = image().replace(b'"layers": []', f'"layers": [{json.dumps(foreign)}]'.encode())
    await made.push("a", "x", data)
    assert made.has("a", "x")


async def test_a_manifest_that_names_itself_is_refused(made: Bench) -> None:
    from boxship.registry.documents import read_manifest

    data = image([b"layer"])
    with pytest.raises(ManifestInvalid, match="itself"):
        read_manifest(data, "", digest_of(b"layer"), 0, made.registry.settings)


async def test_lying_digests_leave_nothing(made: Bench) -> None:
    with pytest.raises(DigestInvalid):
        await made.registry.pushing.push_blob("a", digest_of(b"other"), pieces(b"data"), SOMEBODY)
    with pytest.raises(SizeInvalid):
        await made.registry.pushing.push_blob("a", digest_of(b"data"), pieces(b"data"), SOMEBODY, 3)
    with pytest.raises(SizeInvalid):
        await made.registry.pushing.push_blob("a", digest_of(b"data"), pieces(b"data"), SOMEBODY, 5)
    assert await made.blobs() == set() and not list((made.root / "ingest").iterdir())
    assert made.registry.repositories.find("a") is None


async def test_referrers(made: Bench) -> None:
    subject = digest_of(b"not there yet")
    await made.push_blob("a", b"{}")
    one = await made.push("a", "", image(subject=subject, kind="x/signature", annotations={"n": "1"}))
    two = await made.push("a", "", image(subject=subject))
    other = image(subject=digest_of(b"other"))
    await made.push("a", "", other)
    found = made.registry.reading.referrers("a", subject)
    assert [entry.digest for entry in found] == [one, two]
    assert found[0].artifactType == "x/signature" and found[0].annotations == {"n": "1"}
    assert found[1].artifactType == CONFIG  # the config's type stands in
    assert [entry.digest for entry in made.registry.reading.referrers("a", subject, "x/signature")] == [one]
    assert made.registry.reading.referrers("a", digest_of(b"?")) == []
    assert made.registry.reading.referrers("nowhere", subject) == []


async def test_immutable_and_protected_tags(tmp_path) -> None:  # type: ignore[no-untyped-def]
    policy = '[[repository]]\nmatch = ["a"]\nimmutable = ["v*"]\nprotected = ["v1*"]\n'
    async with bench(tmp_path, policy=policy) as made:
        digest = await made.push_image("a", "v1.0", b"one")
        await made.push_image("a", "v2.0", b"one")
        await made.push_image("a", "latest", b"one")
        assert await made.push_image("a", "v1.0", b"one") == digest  # the same again is no change
        with pytest.raises(TagKept):
            await made.push_image("a", "v1.0", b"two")
        await made.push_image("a", "latest", b"two")
        await made.registry.deleting.delete("a", "v2.0", SOMEBODY)
        for reference in ("v1.0", digest):
            with pytest.raises(TagKept):
                await made.registry.deleting.delete("a", reference, SOMEBODY)


async def test_quotas(tmp_path) -> None:  # type: ignore[no-untyped-def]
    policy = '[[repository]]\nmatch = ["small/**"]\nquota = "2k"\n'
    async with bench(tmp_path, policy=policy) as made:
        await made.push_image("big", "x", b"y" * 5000)
        await made.push_image("small/a", "x", b"y" * 1000)
        with pytest.raises(QuotaReached, match="quota"):
            await made.push_blob("small/a", b"z" * 1500)
        upload = await made.registry.pushing.start_upload("small/a")
        with pytest.raises(QuotaReached):
            await made.registry.pushing.append("small/a", upload, pieces(b"z" * 1500), None, None)
        with pytest.raises(QuotaReached):
            await made.registry.pushing.mount("small/a", digest_of(b"y" * 5000), "big", SOMEBODY)
        await made.registry.deleting.delete("small/a", "x", SOMEBODY)
        await made.registry.pushing.cancel_upload("small/a", upload)
        await made.push_image("small/a", "x", b"z" * 1500)


async def test_what_is_in_use_is_not_deleted(made: Bench) -> None:
    await made.push_image("a", "", b"layer")
    await made.push("a", "all", index(image([b"layer"])))
    with pytest.raises(InUse):
        await made.registry.deleting.delete_blob("a", digest_of(b"layer"))
    with pytest.raises(InUse):
        await made.registry.deleting.delete("a", digest_of(image([b"layer"])), SOMEBODY)
    with pytest.raises(NotFound):
        await made.registry.deleting.delete_blob("a", digest_of(b"nothing"))
    with pytest.raises(NotFound):
        await made.registry.deleting.delete("a", "nothing", SOMEBODY)
    await made.push_blob("a", b"loose")
    await made.registry.deleting.delete_blob("a", digest_of(b"loose"))
    assert digest_of(b"loose") not in await made.blobs()


async def test_pages(made: Bench) -> None:
    for tag in ("b", "a", "c", "B"):
        await made.push_image("r", tag)
    tags = made.registry.reading.tags
    assert tags("r") == (["B", "a", "b", "c"], False)
    assert tags("r", "", 2) == (["B", "a"], True)
    assert tags("r", "a", 2) == (["b", "c"], False)
    assert tags("r", "aa", 1) == (["b"], True)
    assert tags("r", "z", 1) == ([], False)
    assert tags("r", "", 0) == ([], True)
    for name in ("q", "s"):
        await made.push_image(name, "x")
    assert made.registry.reading.catalogue("q", 1, lambda name: True) == (["r"], True)
    assert made.registry.reading.catalogue("", None, lambda name: name != "r") == (["q", "s"], False)
