"""The budget of unused images: what goes, in which order, and what never does."""

import asyncio
import random

import msgspec
import pytest
from images_kit import Room, simple

from boxship.errors import Conflict, NotFound
from boxship.images import Use
from boxship.images.budget import Candidate, surplus
from boxship.images.model import Record, Target
from boxship.spec.reference import parse

LATER = 1 << 62


def candidate(name: str, used: int, **parts: int) -> Candidate:
    return Candidate(name, parts, used)


def test_the_least_recently_used_goes_until_the_rest_fits() -> None:
    found = [candidate("b", 2, y=10), candidate("a", 1, x=10), candidate("c", 3, z=10)]
    claims = {"x": 1, "y": 1, "z": 1}
    assert surplus(found, claims, 30, LATER) == []
    assert surplus(found, claims, 29, LATER) == ["a"]
    assert surplus(found, claims, 10, LATER) == ["a", "b"]
    assert surplus(found, claims, 0, LATER) == ["a", "b", "c"]
    assert surplus(found, claims, 0, 2) == ["a"]  # the others were used lately


def test_what_others_need_too_counts_for_nothing() -> None:
    found = [candidate("a", 1, base=100, x=1), candidate("b", 2, base=100, y=1)]
    assert surplus(found, {"base": 3, "x": 1, "y": 1}, 2, LATER) == []  # a used image has the base too
    assert surplus(found, {"base": 2, "x": 1, "y": 1}, 102, LATER) == []
    assert surplus(found, {"base": 2, "x": 1, "y": 1}, 101, LATER) == ["a"]
    assert surplus(found, {"base": 2, "x": 1, "y": 1}, 100, LATER) == ["a", "b"]  # the base goes with the last


def test_any_choice_fits_the_budget() -> None:
    randomness = random.Random(3)
    for _ in range(300):
        keys = [str(number) for number in range(8)]
        found = [
            Candidate(f"i{number}", {key: ord(key) for key in randomness.sample(keys, 3)}, randomness.randrange(9))
            for number in range(6)
        ]
        others = randomness.sample(keys, 2)
        claims = {key: sum(key in c.parts for c in found) + (key in others) for key in keys}
        limit = randomness.randrange(300)
        chosen = surplus(found, claims, limit, LATER)
        kept = [c for c in found if c.id not in chosen]
        rest = {key for c in kept for key in c.parts} - set(others)
        assert sum(map(ord, rest)) <= limit
        if chosen:  # with one fewer gone it would not fit
            rest |= set(next(c for c in found if c.id == chosen[-1]).parts) - set(others)
            assert sum(map(ord, rest)) > limit


async def pulled(room: Room, name: str, content: bytes) -> str:
    """An image whose registry is known."""
    [loaded] = await room.load(simple(name, content)[0])
    image = await room.images.resolve(name)
    target = Target(image.manifest, image.id)
    await room.images._catalog.change({}, {f"{parse(name).name}@{image.manifest}": target})
    return loaded.image_id


async def test_only_what_can_be_had_again_goes(room: Room) -> None:
    first = await pulled(room, "first:1", b"1")
    second = await pulled(room, "second:1", b"2")
    used = await pulled(room, "used:1", b"3")
    await room.load(simple("built:1", b"4")[0])
    uses = [Use("c" * 64, used, running=False)]
    chosen = await room.images.surplus(1, LATER, uses)
    assert list(chosen) == [first, second]
    await room.images.tag("first:1", parse("mine:1"))  # a name that no registry knows
    assert list(await room.images.surplus(1, LATER, uses)) == [second]
    async with room.images.using(second):
        assert not await room.images.surplus(1, LATER, uses)
    assert not await room.images.surplus(1, chosen[second], uses)
    record = room.images.catalog.record(second)
    assert record.used_at > record.added_at and room.images.last_use(second) >= record.used_at
    await room.images.prune(lambda image: image.id == second, everything=True, uses=uses)
    assert not await room.images.surplus(1, LATER, uses)
    await room.assert_no_waste()


async def test_what_begins_to_be_used_cannot_go(room: Room) -> None:
    [loaded] = await room.load(simple()[0])
    async with room.images.using(loaded.image_id):
        with pytest.raises(Conflict):
            await room.images.remove("app:1")
        assert await room.images.prune(lambda image: True, everything=True) == ((), 0)
    await room.images.remove("app:1")
    await room.assert_no_waste()


async def test_what_is_going_cannot_be_used(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    [loaded] = await room.load(simple()[0])
    change = room.images.catalog.change
    tried = asyncio.Event()

    async def slow(*arguments: object) -> None:
        with pytest.raises(NotFound):
            async with room.images.using(loaded.image_id):
                raise AssertionError
        tried.set()
        await change(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(room.images.catalog, "change", slow)
    await room.images.remove("app:1")
    assert tried.is_set()


def test_records_of_older_versions_are_read() -> None:
    old = b'{"id":"sha256:1","manifest":"sha256:2","layers":[],"added_at":5}'
    assert msgspec.json.decode(old, type=Record).used_at == 0
