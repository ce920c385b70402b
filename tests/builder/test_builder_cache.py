"""The cache: found again after a crash, nothing kept without use, pruned and kept within its limit."""

import asyncio
import os
from pathlib import Path

import pytest
from builder_kit import Workplace, of_kind

from boxship.builder.builder import BuilderSettings
from boxship.builder.cache import PREFIX
from boxship.builder.model import StepFinished, StepOutput
from boxship.builder.operations import RunOperation, Said
from boxship.content import layer_key
from boxship.errors import Invalid
from boxship.store.memory import MemoryStore

TEXT = "FROM base\nCOPY hello /hello\nRUN one\nRUN two\n"


async def reopened(workplace: Workplace) -> Workplace:
    """The same roots and store, as after a crash: nothing was told to end in order."""
    await workplace.close()
    return await Workplace(workplace.root, workplace.store, workplace.settings).open()


async def kept(workplace: Workplace) -> tuple[set[str], set[str]]:
    await workplace.garbage.settle()
    return set(await workplace.content.list()), set(workplace.layers.layers())


async def test_the_cache_is_there_after_a_restart(workplace: Workplace) -> None:
    workplace.write(hello="hi")
    first = await workplace.build(TEXT)
    again = await reopened(workplace)
    try:
        second = await again.build(TEXT)
        assert second.image == first.image
        assert again.executor.calls == []
        assert [record.uses for record in again.builder.cache.all()] == [2, 2, 2]
    finally:
        await again.close()


async def test_the_cache_outlives_the_image(workplace: Workplace) -> None:
    workplace.write(hello="hi")
    first = await workplace.build(TEXT, tags=("app",))
    await workplace.images.remove("app")
    await workplace.garbage.settle()
    second = await workplace.build(TEXT, tags=("app",))
    assert second.image == first.image and workplace.executor.calls == ["copy /hello", "run one", "run two"]


async def test_a_prune_of_everything_leaves_nothing_behind(workplace: Workplace) -> None:
    before = await kept(workplace)
    workplace.write(hello="hi")
    await workplace.build(TEXT, tags=("app",))
    records = await workplace.builder.cache_records()
    assert [record.shared for record in records] == [True] * 3
    assert await workplace.builder.prune() == ((), 0)  # all of it is an image's too
    await workplace.images.remove("app")
    total = sum(record.size for record in records)
    identifiers, freed = await workplace.builder.prune(everything=True)
    assert (len(identifiers), freed) == (3, total)
    assert await workplace.builder.cache_records() == ()
    assert not (await workplace.store.list(PREFIX)).entries
    assert await kept(workplace) == before
    assert workplace.builder.cache.total == 0


async def test_after_a_prune_the_reason_is_told(workplace: Workplace) -> None:
    await workplace.build("FROM base\nRUN one\n")
    await workplace.builder.prune(everything=True)
    events = await workplace.events("FROM base\nRUN one\n")
    assert [event.reason for event in of_kind(events, StepFinished) if event.reason] == ["it was pruned"]


async def test_reasons(workplace: Workplace) -> None:
    async def reasons(text: str) -> list[str]:
        return [event.reason for event in of_kind(await workplace.events(text), StepFinished) if event.reason]

    workplace.write(a="1", b="1")
    assert await reasons("FROM base\nRUN one\n") == ["never built before"]
    assert await reasons("FROM base\nRUN two\n") == ["the command changed: it was one"]
    assert await reasons("FROM base\nENV A=1\nRUN two\n") == ["a variable changed: A"]
    assert await reasons("FROM base\nCOPY . /x/\n") == ["never built before"]
    workplace.write(a="2", c="1")
    os.unlink(workplace.context / "b")
    assert await reasons("FROM base\nCOPY . /x/\n") == ["a changed, c is new, b is gone"]
    await workplace.base_image("base", env={"PATH": "/other"})
    assert (await reasons("FROM base\nRUN one\n"))[0].startswith("a variable changed: PATH")


async def test_prune_by_filter_and_size(workplace: Workplace) -> None:
    for name in ("one", "two", "three"):
        image = await workplace.build(f"FROM base\nRUN {name}\n")
        await workplace.images.remove(image.image)
    prune = workplace.builder.prune
    with pytest.raises(Invalid):
        await prune(filters={"colour": ["red"]})
    assert await prune(filters={"description": ["nothing"]}) == ((), 0)
    assert len((await prune(filters={"description": ["RUN two"]}))[0]) == 1
    assert await prune(until_ns=1) == ((), 0)
    size = (await workplace.builder.cache_records())[0].size
    await prune(keep_bytes=size)
    (left,) = await workplace.builder.cache_records()
    assert "RUN three" in left.description  # the last that was used
    assert len((await prune(filters={"id": [left.id]}))[0]) == 1


async def test_the_limit_holds_and_the_longest_unused_goes_first(tmp_path: Path) -> None:
    store = MemoryStore()
    workplace = await Workplace(tmp_path, store, BuilderSettings(cache_limit_bytes=100_000)).open()
    try:
        await workplace.base_image()
        await workplace.build("FROM base\nRUN keep\n")
        for number in range(30):
            await workplace.build(f"FROM base\nRUN {number}\n")
            await workplace.build("FROM base\nRUN keep\n")
            assert workplace.builder.cache.total <= 100_000
        assert workplace.executor.calls.count("run keep") == 1
    finally:
        await workplace.close()


async def test_what_a_build_uses_is_not_pruned(workplace: Workplace) -> None:
    go_on = asyncio.Event()

    async def slow(operation: RunOperation, said: Said) -> None:
        said(1, b"x")
        await go_on.wait()

    await workplace.build("FROM base\nRUN one\n")
    workplace.executor.commands["slow"] = slow
    generator = workplace.builder.build(workplace.request("FROM base\nRUN one\nRUN slow\n"))
    async for event in generator:
        if isinstance(event, StepOutput):
            assert (await workplace.builder.prune(everything=True))[0] == ()
            go_on.set()
    (one,) = [record for record in await workplace.builder.cache_records() if "one" in record.description]
    assert not one.in_use


async def test_a_record_whose_layer_is_lost_is_forgotten(workplace: Workplace) -> None:
    workplace.write(hello="hi")
    await workplace.build(TEXT)
    record = workplace.builder.cache.all()[0]
    assert record.layer is not None
    blob = workplace.content.path(record.layer.blob)
    blob.unlink()
    workplace.executor.calls.clear()
    await workplace.build(TEXT)
    assert workplace.executor.calls == ["copy /hello"]  # made again, the same: the others are hits
    blob.unlink(missing_ok=True)
    again = await reopened(workplace)
    try:
        assert record.key not in {known.key for known in again.builder.cache.all()}
    finally:
        await again.close()


async def test_claims_are_those_of_the_records(workplace: Workplace) -> None:
    """Through builds, rebuilds and prunes each record claims its parts once."""
    workplace.write(hello="hi")
    for number in range(3):
        await workplace.build(TEXT, no_cache=number == 1)
        workplace.write(hello=f"hi {number}")
    await workplace.builder.prune(filters={"description": ["two"]}, everything=True)
    records = workplace.builder.cache.all()
    images = await workplace.images.list()
    for record in records:
        assert record.layer is not None
        key = layer_key(record.layer.chain_id)
        users = sum(record.layer.chain_id in {layer.chain_id for layer in image.layers} for image in images)
        same = sum(other.layer == record.layer for other in records)
        assert workplace.garbage.claims[key] == users + same
    assert not workplace.garbage.leases
    assert workplace.builder.cache.total == sum(record.size for record in records)
