"""Data is written by a thread while more comes: all of it, in order, and nothing after the end."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from boxship.content import Content, Pouring, open_ingest
from boxship.errors import Exhausted, Invalid
from boxship.spec import digest as digests
from boxship.store.memory import MemoryStore


@pytest.fixture
async def content(tmp_path: Path) -> AsyncIterator[Content]:
    made = Content(tmp_path, MemoryStore())
    await made.recover()
    yield made


@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
async def test_everything_comes_in_its_order(content: Content, chunk: int) -> None:
    data = bytes(range(256)) * 20
    ingest = await open_ingest(content.begin)
    pouring = Pouring(ingest, 100)
    for start in range(0, len(data), chunk):
        await pouring.add(data[start : start + chunk])
    await pouring.settle()
    assert ingest.size == len(data) and ingest.finish() == digests.of_bytes(data)


async def test_what_is_forgotten_is_not_written(content: Content) -> None:
    ingest = await open_ingest(content.begin)
    pouring = Pouring(ingest, 100)
    await pouring.add(b"x" * 100)
    await pouring.add(b"y" * 99)
    pouring.forget()
    await pouring.settle()
    assert ingest.digest() == digests.of_bytes(b"x" * 100)
    await pouring.add(b"z")
    await pouring.stop()
    assert ingest.size == 100
    ingest.abandon()


async def test_a_cancelled_caller_waits_for_the_rest(content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest = await open_ingest(content.begin)
    may_go, write = threading.Event(), ingest.write

    def slow(data: bytes) -> None:
        assert may_go.wait(10)
        write(data)

    monkeypatch.setattr(ingest, "write", slow)
    pouring = Pouring(ingest, 2)
    await pouring.add(b"ab")
    await pouring.add(b"c")
    settling = asyncio.ensure_future(pouring.settle())
    await asyncio.sleep(0)
    settling.cancel()
    await asyncio.sleep(0)
    assert not settling.done()
    may_go.set()
    with pytest.raises(asyncio.CancelledError):
        await settling
    assert ingest.digest() == digests.of_bytes(b"abc")
    ingest.abandon()


async def test_a_full_disk_is_told_and_stop_is_quiet(content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest = await open_ingest(content.begin)

    def full(data: bytes) -> None:
        raise Exhausted("no space")

    monkeypatch.setattr(ingest, "write", full)
    pouring = Pouring(ingest, 1)
    await pouring.add(b"a")
    with pytest.raises(Exhausted):
        await pouring.add(b"b")
    with pytest.raises(Exhausted):
        await pouring.settle()
    await pouring.stop()
    ingest.abandon()


async def test_a_blob_that_is_too_long_or_breaks_off_leaves_nothing(content: Content) -> None:
    async def chunks(count: int, *, broken: bool = False) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 100_000
        if broken:
            raise ConnectionError

    assert await content.ingest(chunks(30)) == (digests.of_bytes(b"x" * 3_000_000), 3_000_000)
    for count, size in ((30, 2_900_000), (30, 10), (29, 3_000_000)):
        with pytest.raises(Invalid):
            await content.ingest(chunks(count), size=size)
    with pytest.raises(ConnectionError):
        await content.ingest(chunks(25, broken=True))
    assert len(await content.list()) == 1 and not list((content.root / "ingest").iterdir())
