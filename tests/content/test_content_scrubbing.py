"""Reading blobs again beside everything else: what is damaged is found, what only goes or comes meanwhile never is."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from boxship.content import Content, Garbage, scrubbing
from boxship.content.scrubbing import Scrubbed, scrub
from boxship.spec import digest as digests
from boxship.store.memory import MemoryStore


class NoLayers:
    def layers(self) -> list[str]:
        return []

    async def remove_layer(self, chain_id: str) -> None: ...


class Yard:
    def __init__(self, root: Path) -> None:
        self.content = Content(root / "content", MemoryStore())
        self.garbage = Garbage(self.content, NoLayers())

    async def put(self, data: bytes) -> str:
        """A blob that is claimed."""
        digest = digests.of_bytes(data)
        async with self.garbage.lease() as lease:
            await lease.add(digest)
            await self.content.put(data)
            self.garbage.claim([digest])
        return digest

    def damage(self, digest: str) -> None:
        path = self.content.path(digest)
        path.chmod(0o600)
        path.write_bytes(b"damaged")

    async def scrub(self, **options: bool) -> list[Scrubbed]:
        return [found async for found in scrub(self.content, self.garbage, 0, **options)]

    async def problems(self, **options: bool) -> list[str]:
        return [found.digest for found in await self.scrub(**options) if found.problem]


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    made = Yard(tmp_path)
    await made.content.recover()
    running = asyncio.create_task(made.garbage.run())
    yield made
    running.cancel()
    await asyncio.wait([running])


async def test_damage_is_found_and_moved_when_asked(yard: Yard) -> None:
    good, bad, orphan = await yard.put(b"good"), await yard.put(b"bad"), await yard.content.put(b"orphan")
    yard.damage(bad)
    yard.damage(orphan)
    assert set(await yard.problems()) == {bad, orphan} and yard.content.exists(bad) and yard.content.exists(orphan)
    assert set(await yard.problems(quarantine=True)) == {bad, orphan}
    assert await yard.content.list() == (good,) and set(await yard.content.quarantine.list()) == {bad, orphan}
    assert not await yard.problems() and not yard.garbage.leases


async def test_what_goes_between_the_look_and_the_reading_is_no_finding(yard: Yard) -> None:
    """All threads' work goes through one, so that its order is known: the removal comes before the reading."""
    first, second = sorted([await yard.put(b"one"), await yard.put(b"two")])
    asyncio.get_running_loop().set_default_executor(one := ThreadPoolExecutor(1))
    scrubbing_all = scrub(yard.content, yard.garbage, 0)
    assert await anext(scrubbing_all) == Scrubbed(first, 3)
    held = threading.Event()
    one.submit(held.wait)
    yard.garbage.release([second])
    while one._work_queue.qsize() < 1:  # the collector has asked for the removal
        await asyncio.sleep(0)
    reading = asyncio.ensure_future(anext(scrubbing_all, None))
    while one._work_queue.qsize() < 2:  # the blob was there, and its reading is asked for
        await asyncio.sleep(0)
    held.set()
    assert await reading is None
    assert await yard.content.list() == (first,)


@pytest.mark.parametrize("quarantine", [False, True])
async def test_a_damaged_blob_that_is_brought_again_is_good(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, quarantine: bool
) -> None:
    """While the old file is read, it goes, and a good one takes its place: that is not blamed, and never moved."""
    digest = await yard.content.put(b"data")
    yard.damage(digest)
    reads: list[int] = []

    def replace(pace: object, size: int, stopped: threading.Event) -> None:
        reads.append(size)
        if len(reads) == 1:
            path = yard.content.path(digest)
            path.unlink()
            path.write_bytes(b"data")

    monkeypatch.setattr(scrubbing._Pace, "take", replace)
    assert await yard.scrub(quarantine=quarantine) == [Scrubbed(digest, 4)] and reads == [7, 4]
    assert await yard.content.list() == (digest,) and not await yard.content.quarantine.list()


async def test_what_a_claim_misses_is_not_hidden(yard: Yard) -> None:
    """A blob that somebody deleted by hand is left out here, and is missing where claims are compared with the disk."""
    digest = await yard.put(b"data")
    found = scrub(yard.content, yard.garbage, 0)
    yard.content.path(digest).unlink()
    assert [blob async for blob in found] == [] and yard.garbage.claims[digest] == 1
    other = await yard.put(b"other")
    yard.content.place(other).unlink()
    yard.content.place(other).mkdir()
    assert await yard.problems() == [other]  # it is there, and cannot be read


async def test_an_end_in_the_middle_leaves_no_thread_and_no_lease(yard: Yard) -> None:
    digest = await yard.put(bytes(3 << 20))
    reading = asyncio.ensure_future(anext(scrub(yard.content, yard.garbage, 1000)))
    while not yard.garbage.leases:
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading], timeout=10)
    assert reading.cancelled() and not yard.garbage.leases and yard.content.exists(digest)
