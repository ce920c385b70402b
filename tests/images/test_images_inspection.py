"""The check of what images are made of, beside what comes and goes: no false finding, and none that is missed."""

import asyncio
from pathlib import Path
from typing import Any

import images_kit as kit
import pytest
from images_kit import Room

from boxship.content import layer_key
from boxship.engine.inspection import Found, Inspection
from boxship.spec import digest as digests
from boxship.volumes.volumes import Volumes


class NoContainers:
    def __iter__(self) -> Any:
        return iter(())


@pytest.fixture
async def inspection(room: Room, tmp_path: Path) -> Inspection:
    volumes = Volumes(tmp_path / "volumes", room.store)
    await volumes.recover()
    return Inspection(room.content, room.garbage, room.layers, room.images, volumes, NoContainers())  # type: ignore[arg-type]


async def found(inspection: Inspection, **options: bool) -> list[str]:
    return [f"{event.what}: {event.problem}" async for event in inspection.run(**options) if isinstance(event, Found)]


async def chain_of(room: Room, archive: bytes) -> tuple[str, list[str]]:
    """A loaded image, and its layers from the lowest."""
    await room.load(archive)
    [image] = await room.images.list()
    return image.id, [layer.chain_id for layer in image.layers]


async def test_what_goes_while_it_is_listed_is_no_orphan(room: Room, inspection: Inspection) -> None:
    identifier, _ = await chain_of(room, kit.simple()[0])
    listing = room.content.list
    lists: list[int] = []

    async def slow() -> tuple[str, ...]:
        """The names are old news by the time that they arrive."""
        names = await listing()
        lists.append(len(names))
        if len(lists) == 2:  # the first is for reading them
            await room.images.remove(identifier, force=True)
            await room.garbage.settle()
        return names

    room.content.list = slow  # type: ignore[method-assign]
    assert await found(inspection) == [] and lists[1] > 0
    room.content.list = listing  # type: ignore[method-assign]
    assert await room.kept() == ([], [])
    orphan = await room.content.put(b"nobody's")
    assert await found(inspection) == [f"blob {orphan}: nobody needs it"]


async def test_an_image_that_goes_while_its_layers_are_looked_at(room: Room, inspection: Inspection) -> None:
    identifier, chain = await chain_of(room, kit.simple()[0])
    examine = room.layers.examine_layer
    looks: list[str] = []

    async def late(chain_id: str, **options: bool) -> str:
        """By the time of the look the image has gone, and the layer below, which nobody holds, with it."""
        looks.append(chain_id)
        if room.images.catalog.has(identifier):
            await room.images.remove(identifier, force=True)
            await room.garbage.settle([layer_key(chain[0])])
        return await examine(chain_id, **options)

    room.layers.examine_layer = late  # type: ignore[method-assign]
    for number, key in enumerate(sorted(chain)):
        looks.clear()
        assert await found(inspection) == [], f"{number}: {key}"
        assert looks
        await room.garbage.settle()
        identifier, chain = await chain_of(room, kit.simple()[0])


async def test_a_layer_of_the_build_cache_may_have_lost_its_base(room: Room, inspection: Inspection) -> None:
    identifier, (base, top) = await chain_of(room, kit.simple()[0])
    room.garbage.owned("build cache").claim([layer_key(top)])
    await room.images.remove(identifier, force=True)
    await room.garbage.settle()
    assert room.layers.layers() == [top] and await found(inspection) == []
    await room.load(kit.simple()[0])  # it is an image's again, and needs all below it
    assert sorted(room.layers.layers()) == sorted([base, top]) and await found(inspection) == []
    kept = room.layers._layout.layer(base)
    kept.rename(kept.with_name("1" * 64))
    stray, where = f"sha256:{'1' * 64}", f"layer {base}"
    assert set(await found(inspection)) == {
        f"{where}: it is not there",
        f"layer {top}: the layer below it, {base}, is gone",
        f"layer {stray}: nobody needs it",
    }
    assert len(await found(inspection, repair=True)) == 2  # the upper one brings the lower one
    until_gone = asyncio.get_running_loop().time() + 10
    while stray in room.layers.layers() and asyncio.get_running_loop().time() < until_gone:
        await asyncio.sleep(0.01)
    assert await found(inspection) == [] and room.images.catalog.has(identifier)


async def test_a_blob_that_goes_while_disk_usage_is_counted(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are read from a folder one after the other, and what they stand for may have gone by then."""
    import os

    kept, gone = await room.content.put(bytes(5000)), await room.content.put(b"gone")
    scan = os.scandir

    def removing(path: Any) -> Any:
        if str(path).endswith("sha256"):
            names = scan(path)
            entries = list(names)
            names.close()
            room.content.place(gone).unlink(missing_ok=True)

            class Entries(list[Any]):
                def __enter__(self) -> "Entries":
                    return self

                def __exit__(self, *_: object) -> None: ...

            return Entries(entries)
        return scan(path)

    monkeypatch.setattr(os, "scandir", removing)
    assert await room.content.usage() == 8192
    assert digests.is_digest(kept)
