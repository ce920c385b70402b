"""What lives: claims and leases keep, the last one's end frees, whatever else goes on."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from boxship.content import Content, Garbage, layer_key
from boxship.spec import digest as digests
from boxship.store.memory import MemoryStore

MANY = 10_000


class Shelf:
    """Unpacked layers that are only names."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    def layers(self) -> list[str]:
        return sorted(self.names)

    async def remove_layer(self, chain_id: str) -> None:
        await self.gate.wait()
        self.names.discard(chain_id)


class Yard:
    def __init__(self, root: Path) -> None:
        self.content = Content(root / "content", MemoryStore())
        self.shelf = Shelf()
        self.garbage = Garbage(self.content, self.shelf)

    async def put(self, data: bytes) -> str:
        """A blob that is claimed."""
        digest = digests.of_bytes(data)
        async with self.garbage.lease() as lease:
            await lease.add(digest)
            await self.content.put(data)
            self.garbage.claim([digest])
        return digest


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    made = Yard(tmp_path)
    await made.content.recover()
    running = asyncio.create_task(made.garbage.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_the_last_claim_keeps(yard: Yard) -> None:
    digest = await yard.put(b"one")
    await yard.put(b"one")
    yard.garbage.release([digest])
    await yard.garbage.settle()
    assert yard.content.exists(digest)
    yard.garbage.release([digest])
    await yard.garbage.settle([digest])
    assert not yard.content.exists(digest) and not yard.garbage.claims


async def test_a_lease_keeps_what_nobody_claims_yet(yard: Yard) -> None:
    async with yard.garbage.lease() as lease:
        await lease.add(digests.of_bytes(b"made"))
        digest = await yard.content.put(b"made")
        await yard.garbage.sweep()
        await yard.garbage.settle()
        assert yard.content.exists(digest)
    await yard.garbage.settle()
    assert await yard.content.list() == () and not yard.garbage.leases


async def test_a_lease_waits_for_a_removal_under_way(yard: Yard) -> None:
    key = layer_key("sha256:" + "1" * 64)
    yard.shelf.names.add("sha256:" + "1" * 64)
    yard.shelf.gate.clear()
    yard.garbage.claim([key])
    yard.garbage.release([key])
    await asyncio.sleep(0)

    async def use() -> bool:
        async with yard.garbage.lease() as lease:
            await lease.add(key)
            return bool(yard.shelf.names)

    using = asyncio.create_task(use())
    await asyncio.sleep(0)
    assert not using.done()
    yard.shelf.gate.set()
    assert not await using  # it looked only when the removal was over
    await yard.garbage.settle([key])


async def test_sweep_takes_what_nobody_named(yard: Yard) -> None:
    kept = await yard.put(b"kept")
    await yard.content.put(b"stray")
    yard.shelf.names |= {"sha256:" + "1" * 64, "sha256:" + "2" * 64}
    yard.garbage.claim([layer_key("sha256:" + "2" * 64)])
    await yard.garbage.sweep()
    await yard.garbage.settle()
    assert await yard.content.list() == (kept,) and yard.shelf.layers() == ["sha256:" + "2" * 64]


async def test_a_failed_removal_is_logged_and_others_go_on(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = await yard.put(b"bad")
    good = await yard.put(b"good")
    place = yard.content.path(bad)
    place.unlink()
    place.mkdir()  # what is no file resists
    yard.garbage.release([bad, good])
    await yard.garbage.settle()
    assert await yard.content.list() == (bad,)
    place.rmdir()

    async def broken(chain_id: str) -> None:
        raise ValueError("a mistake")

    monkeypatch.setattr(yard.shelf, "remove_layer", broken)
    yard.garbage.claim([layer_key("sha256:" + "1" * 64)])
    yard.garbage.release([layer_key("sha256:" + "1" * 64)])
    other = await yard.put(b"other")
    yard.garbage.release([other])
    await yard.garbage.settle()
    assert await yard.content.list() == ()


@pytest.mark.undisturbed
async def test_ten_thousand_claims_cost_the_same_as_one(yard: Yard) -> None:
    last = await yard.put(b"last")
    keys = [f"sha256:{index:064x}" for index in range(MANY)]
    yard.garbage.claim(keys)
    begin = time.perf_counter()
    yard.garbage.release([last])
    await yard.garbage.settle([last])
    assert time.perf_counter() - begin < 1 and not yard.content.exists(last)
    other = await yard.put(b"other")
    begin = time.perf_counter()
    yard.garbage.release(keys)  # ten thousand that wait do not delay the one after them
    yard.garbage.release([other])
    await yard.garbage.settle([other])
    assert time.perf_counter() - begin < 1 and not yard.content.exists(other)


async def test_random_use_keeps_what_is_claimed_and_nothing_else(yard: Yard) -> None:
    """A model: many tasks make, claim and release the same few blobs."""
    claimed: Counter[str] = Counter()
    randomness = random.Random(7)

    async def work() -> None:
        for _ in range(40):
            data = b"%d" % randomness.randrange(6)
            digest = digests.of_bytes(data)
            async with yard.garbage.lease() as lease:
                await lease.add(digest)
                await yard.content.put(data)
                await asyncio.sleep(0)
                assert yard.content.exists(digest)
                if randomness.random() < 0.5:
                    yard.garbage.claim([digest])
                    claimed[digest] += 1
            if claimed and randomness.random() < 0.6:
                gone = randomness.choice(sorted(claimed))
                claimed[gone] -= 1
                if not claimed[gone]:
                    del claimed[gone]
                yard.garbage.release([gone])
            for digest in claimed:
                assert yard.content.exists(digest)

    await asyncio.gather(*(work() for _ in range(8)))
    await yard.garbage.settle()
    assert set(await yard.content.list()) == set(claimed) and yard.garbage.claims == claimed
