"""Signatures beside their images, and the policy's questions about images that are here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from images_kit import Room, chunks, tar

from boxship.errors import Denied, Exhausted, Invalid, NotFound
from boxship.images.trust import Gate, Trust
from boxship.images.trust_signatures import manifest_of
from boxship.pki import cosign, keys, payloads
from boxship.pki.payloads import SIGNATURES_LIMIT, Signature
from boxship.spec import reference as references
from boxship.spec.image import Descriptor

KEY = keys.new_key()
RULE = '[[rule]]\nrepository = "r.io/prod/**"\naction = "require"\nkeys = ["k"]\n'


@asynccontextmanager
async def forgetting(room: Room) -> AsyncIterator[None]:
    task = asyncio.create_task(room.images.signatures.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def image(room: Room, name: str, content: bytes = b"x") -> str:
    made = await room.images.import_tar(chunks(tar({"file": content})), references.parse(name))
    return made.manifest


def signature(digest: str, name: str = "r.io/prod/web", **annotations: str) -> Signature:
    payload = payloads.write_payload(digest, name, annotations)
    return Signature(payload, cosign.sign(KEY, payload))


async def gone(room: Room, digest: str) -> None:
    async with asyncio.timeout(20):
        while room.content.exists(digest):
            await asyncio.sleep(0)


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    (tmp_path / "k.pub").write_bytes(keys.dump_public(KEY.public_key()))
    (tmp_path / "policy.toml").write_text(f'[keys]\nk = "k.pub"\n{RULE}')
    return Trust(tmp_path / "policy.toml")


async def test_a_signature_stays_with_its_image(room: Room) -> None:
    digest = await image(room, "r.io/prod/web")
    made = signature(digest)
    kept = await room.images.sign("r.io/prod/web", made.payload, made.signature)
    assert await room.images.sign("r.io/prod/web", made.payload, made.signature) == kept  # the same one again
    described = Descriptor("application/vnd.oci.image.manifest.v1+json", digest, room.content.size(digest))
    assert await room.content.read(kept, 10_000) == manifest_of(described, made)
    found = await room.images.signed("r.io/prod/web")
    assert (found.reference, found.digest, found.signatures) == ("r.io/prod/web", digest, (made,))
    await room.close()
    await room.open()
    assert (await room.images.signed("r.io/prod/web")).signatures == (made,)
    async with forgetting(room):
        await room.images.remove("r.io/prod/web")
        await gone(room, kept)
    await room.assert_no_waste()
    assert not await room.store.list("signatures/") or not (await room.store.list("signatures/")).entries


async def test_a_signature_of_something_else_is_refused(room: Room) -> None:
    digest = await image(room, "r.io/prod/web")
    other = signature("sha256:" + "1" * 64)
    with pytest.raises(Invalid, match="it is for sha256:1111"):
        await room.images.sign("r.io/prod/web", other.payload, other.signature)
    with pytest.raises(Invalid):
        await room.images.sign("r.io/prod/web", b"garbage", "x")
    with pytest.raises(NotFound):
        await room.images.sign("r.io/prod/other", other.payload, other.signature)
    assert (await room.images.signed("r.io/prod/web")).digest == digest
    assert not (await room.images.signed("r.io/prod/web")).signatures


async def test_there_is_a_limit_to_what_one_image_has(room: Room) -> None:
    digest = await image(room, "r.io/prod/web")
    for number in range(SIGNATURES_LIMIT):
        await room.images.signatures.add(digest, signature(digest, number=str(number)))
    with pytest.raises(Exhausted):
        await room.images.signatures.add(digest, signature(digest))
    await room.images.signatures.keep(digest, [signature(digest), signature("sha256:" + "2" * 64)])  # left out
    assert len(await room.images.signatures.read(digest)) == SIGNATURES_LIMIT


async def test_what_a_crash_left_about_an_image_that_is_gone_is_forgotten(room: Room) -> None:
    """Killed after the image's blob went and before the signature's record did."""
    digest = await image(room, "r.io/prod/web")
    kept = await room.images.signatures.add(digest, signature(digest))
    await room.images.remove("r.io/prod/web")
    assert not room.content.exists(digest) and room.content.exists(kept)
    await room.close()
    await room.open()
    await room.assert_no_waste()
    assert not room.content.exists(kept)


async def test_what_comes_back_meanwhile_keeps_its_signatures(room: Room) -> None:
    digest = await image(room, "r.io/prod/web")
    saved = await room.save("r.io/prod/web")
    await room.images.signatures.add(digest, signature(digest))
    await room.images.remove("r.io/prod/web")
    await room.load(saved)
    back = (await room.images.resolve("r.io/prod/web")).manifest
    async with forgetting(room):
        await asyncio.sleep(0)
        await room.garbage.settle()
    assert len(await room.images.signatures.read(digest)) == (1 if back == digest else 0)


async def test_an_image_is_admitted_under_the_name_that_was_asked_for(room: Room, trust: Trust) -> None:
    digest = await image(room, "r.io/prod/web")
    gate = Gate(room.images._catalog, room.images.signatures, trust)
    identifier = (await room.images.resolve("r.io/prod/web")).id
    with pytest.raises(Denied, match=r"make a container of r\.io/prod/web:latest.*no signature by k"):
        await gate.admit("r.io/prod/web", identifier)
    await room.images.signatures.add(digest, signature(digest))
    for text in ("r.io/prod/web", "r.io/prod/web:latest", identifier, identifier[7:], identifier[7:19]):
        await gate.admit(text, identifier)
    await room.images.tag("r.io/prod/web", references.parse("r.io/prod/other"))
    await room.images.tag("r.io/prod/web", references.parse("r.io/free"))
    with pytest.raises(Denied, match=r"signed as r\.io/prod/web"):
        await gate.admit("r.io/prod/other", identifier)
    await gate.admit("r.io/free", identifier)
    for text in (identifier, identifier[7:19]):
        with pytest.raises(Denied, match=r"r\.io/prod/other"):  # each of its names counts
            await gate.admit(text, identifier)
    await Gate(room.images._catalog, room.images.signatures, Trust()).admit("r.io/prod/other", identifier)


async def test_the_default_holds_for_what_has_no_name(room: Room, tmp_path: Path) -> None:
    made = await room.images.import_tar(chunks(tar({"file": b"x"})))
    policy = tmp_path / "policy.toml"
    gate = Gate(room.images._catalog, room.images.signatures, Trust(policy))
    with pytest.raises(Denied, match="no image can be trusted"):  # there is no file at all
        await gate.admit(made.id, made.id)
    policy.write_text('default = "reject"')
    with pytest.raises(Denied, match="the rule says reject"):
        await gate.admit(made.id, made.id)
    policy.write_text('default = "accept"  # now')
    await gate.admit(made.id, made.id)


async def test_signatures_are_asked_for_only_where_a_rule_needs_them(trust: Trust, tmp_path: Path) -> None:
    digest = "sha256:" + "3" * 64
    asked = []

    async def look() -> list[Signature]:
        asked.append(1)
        return [signature(digest)]

    async def fail() -> list[Signature]:
        raise NotFound("cannot reach the registry")

    await trust.check(references.parse("r.io/free"), digest, look)
    assert not asked
    await trust.check(references.parse("r.io/prod/web:1"), digest, look)
    assert asked
    with pytest.raises(Denied, match=r"cannot pull r\.io/prod/x.*requires signatures by k.*cannot reach"):
        await trust.check(references.parse("r.io/prod/x"), digest, fail)
    (tmp_path / "k.pub").unlink()
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.raises(Denied, match="key k cannot be used"))
        await trust.check(references.parse("r.io/prod/web"), digest, look)
    (tmp_path / "k.pub").write_bytes(keys.dump_public(keys.new_key().public_key()))
    with pytest.raises(Denied, match="no signature by k"):
        await trust.check(references.parse("r.io/prod/web"), digest, look)
    (tmp_path / "k.pub").write_bytes(keys.dump_public(KEY.public_key()))
    await trust.check(references.parse("r.io/prod/web"), digest, look)
