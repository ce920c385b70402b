"""Images made of layers that are here already, as a builder makes them; and collection with thousands of names."""

import json
import time

import msgspec
import pytest
from images_kit import Room, simple

from boxship.content import layer_key
from boxship.errors import Invalid, NotFound
from boxship.images import Use
from boxship.spec.image import History
from boxship.spec.reference import parse

MANY_NAMES = 10_000


async def test_assemble_an_image_of_layers_that_are_here(room: Room) -> None:
    [loaded] = await room.load(simple()[0])
    base = await room.images.resolve(loaded.image_id)
    async with room.garbage.lease() as lease:
        for layer in base.layers:
            await lease.add(layer.blob)
            await lease.add(layer_key(layer.chain_id))
        await room.images.remove("app:1")  # what is under a lease stays
        config = msgspec.structs.replace(base.config, author="me", history=(History(created_by="x"),) * 2)
        image = await room.images.assemble(
            config, base.layers, names=(parse("made"), parse("made:2")), annotations={"b": "2", "a": "1"}
        )
    assert image.references == ("made:2", "made:latest") and image.config.author == "me"
    manifest = json.loads(await room.content.read(image.manifest, 10_000))
    assert manifest["schemaVersion"] == 2 and manifest["mediaType"].endswith("manifest.v1+json")
    assert manifest["annotations"] == {"a": "1", "b": "2"} and manifest["config"]["digest"] == image.id
    await room.assert_no_waste()
    await room.images.remove("made")
    await room.images.remove("made:2")
    assert await room.kept() == ([], [])


async def test_assemble_without_a_name(room: Room) -> None:
    [loaded] = await room.load(simple()[0])
    base = await room.images.resolve(loaded.image_id)
    child = await room.images.assemble(
        msgspec.structs.replace(base.config, author="child"), base.layers, parent=base.id
    )
    assert child.references == () and child.parent == base.id
    same = await room.images.assemble(msgspec.structs.replace(base.config, author="child"), base.layers)
    assert same.id == child.id
    hidden = await room.images.assemble(msgspec.structs.replace(base.config, author="hidden"), base.layers, hidden=True)
    with pytest.raises(NotFound):
        await room.images.resolve(hidden.id)
    assert (await room.images.beneath(hidden.id)).id == hidden.id
    await room.images.collect([Use("c" * 64, hidden.id, running=False)])
    assert (await room.images.beneath(hidden.id)).id == hidden.id
    await room.images.collect([])
    with pytest.raises(NotFound):
        await room.images.beneath(hidden.id)
    await room.assert_no_waste()
    named = await room.images.assemble(
        msgspec.structs.replace(base.config, author="child"), base.layers, names=(parse("c"),)
    )
    assert named.id == child.id and named.parent == base.id


async def test_config_and_layers_must_fit(room: Room) -> None:
    [loaded] = await room.load(simple()[0])
    base = await room.images.resolve(loaded.image_id)
    with pytest.raises(Invalid, match="other layers"):
        await room.images.assemble(base.config, base.layers[:1])
    layers = (base.layers[0], msgspec.structs.replace(base.layers[1], blob="sha256:" + "0" * 64))
    with pytest.raises(NotFound):
        await room.images.assemble(base.config, layers)
    with pytest.raises(Invalid, match="digest reference"):
        await room.images.assemble(base.config, base.layers, names=(parse("x@sha256:" + "0" * 64),))
    await room.assert_no_waste()


@pytest.mark.undisturbed
async def test_the_last_name_of_thousands_frees_at_once(room: Room) -> None:
    await room.load(simple("app:1")[0])
    [loaded] = await room.load(simple("other:1", b"other")[0])
    for number in range(MANY_NAMES):
        await room.images.tag("app:1", parse(f"team/app{number % 100}:{number}"))
    other = await room.images.resolve("other:1")
    begin = time.perf_counter()
    await room.images.remove("other:1")
    seconds = time.perf_counter() - begin
    assert not room.content.exists(other.layers[1].blob) and not room.layers.has_layer(other.layers[1].chain_id)
    assert not room.content.exists(loaded.image_id) and seconds < 1
    begin = time.perf_counter()
    await room.images.tag("app:1", parse("app:again"))
    await room.images.remove("team/app1:1")
    assert time.perf_counter() - begin < 1
    again = await Room(room.root, room.store).open()
    assert len((await again.images.resolve("app:1")).references) == MANY_NAMES + 1
    await again.images.remove((await again.images.resolve("app:1")).id, force=True)
    assert await again.kept() == ([], [])
    await again.close()
