"""What every store promises."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from boxship.errors import Conflict, Invalid, Unavailable
from boxship.store import Change, Compacted, Delete, Entry, Put, Snapshot, Store


async def take(watch: AsyncIterator[Change], count: int) -> list[Change]:
    """The next changes; fails when they don't come."""
    async with asyncio.timeout(10):
        return [await anext(watch) for _ in range(count)]


async def keys(store: Store, prefix: str, after: str = "", limit: int = 0) -> list[str]:
    return [entry.key for entry in (await store.list(prefix, after=after, limit=limit)).entries]


async def test_a_value_is_read_back_with_its_revisions(store: Store) -> None:
    first = await store.commit(Put("a", b"1"))
    second = await store.commit(Put("a", b"2"), Put("b", b"3"))
    assert second == first + 1
    entry = await store.get("a")
    assert entry is not None
    assert (entry.value, entry.created, entry.modified) == (b"2", first, second)
    await store.commit(Delete("a"))
    assert await store.get("a") is None
    again = await store.commit(Put("a", b""))
    entry = await store.get("a")
    assert entry is not None
    assert (entry.value, entry.created, entry.modified) == (b"", again, again)


async def test_revision_rises_by_one_for_each_commit(store: Store) -> None:
    before = (await store.list("")).revision
    await store.commit(Put("a", b""), Put("b", b""), Delete("c"))
    await store.commit()
    await store.commit(Delete("nothing"))
    assert (await store.list("")).revision == before + 3


async def test_list_is_ordered_limited_and_bounded(store: Store) -> None:
    names = ["a/1", "a/10", "a/2", "a/\uffff", "a/\U0010ffff", "a/é", "a0", "b"]
    await store.commit(*(Put(name, name.encode()) for name in reversed(names)))
    assert await keys(store, "") == sorted(names)
    assert await keys(store, "a/") == sorted(name for name in names if name.startswith("a/"))
    assert await keys(store, "a/", after="a/10") == sorted(name for name in names if "a/10" < name < "a0")
    assert await keys(store, "a/", limit=2) == ["a/1", "a/10"]
    assert await keys(store, "a/", after="a/10", limit=1) == ["a/2"]
    assert await keys(store, "b", after="c") == []
    assert await keys(store, "\U0010ffff") == []


async def test_keys_are_picked_at_one_moment_in_the_order_asked_for(store: Store) -> None:
    await store.commit(Put("a", b"1"), Put("b", b"2"), Put("c", b"3"))
    last = await store.commit(Put("a", b"4"), Delete("c"))
    found = await store.pick(["b", "nothing", "a", "c"])
    assert found.revision == last and not found.remaining
    assert [(entry.key, entry.value) for entry in found.entries] == [("b", b"2"), ("a", b"4")]


async def test_expected_revisions_hold_or_nothing_is_written(store: Store) -> None:
    one = await store.commit(Put("a", b"1", expected=0))
    with pytest.raises(Conflict):
        await store.commit(Put("b", b"x"), Put("a", b"2", expected=0))
    with pytest.raises(Conflict):
        await store.commit(Put("b", b"x"), Put("a", b"2", expected=one + 7))
    with pytest.raises(Conflict):
        await store.commit(Put("b", b"x"), Delete("a", expected=one + 7))
    with pytest.raises(Conflict):
        await store.commit(Put("b", b"x"), Delete("missing", expected=3))
    assert await store.get("b") is None
    two = await store.commit(Put("a", b"2", expected=one))
    assert two == one + 1
    await store.commit(Delete("a", expected=two), Delete("b", expected=0))
    assert await store.get("a") is None


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800", "x" * 1025])
async def test_bad_keys_are_refused(store: Store, key: str) -> None:
    with pytest.raises(Invalid):
        await store.commit(Put(key, b""))
    with pytest.raises(Invalid):
        await store.commit(Put("a", b""), Delete(key))
    assert await keys(store, "") == []


async def test_a_key_twice_and_too_large_values_are_refused(store: Store) -> None:
    with pytest.raises(Invalid):
        await store.commit(Put("a", b""), Delete("a"))
    with pytest.raises(Invalid):
        await store.commit(Put("a", bytes(16 * 1024 * 1024 + 1)))


async def test_watch_replays_then_follows(store: Store) -> None:
    first = await store.commit(Put("a/1", b"1"))
    await store.commit(Put("b/1", b"x"))
    await store.commit(Put("a/2", b"2"), Delete("a/1"))
    watch = store.watch("a/", after=first)
    was = Entry("a/1", b"1", first, first)
    assert await take(watch, 2) == [Change(first + 2, "a/2", b"2"), Change(first + 2, "a/1", None, was)]
    following = asyncio.ensure_future(take(watch, 1))
    await asyncio.sleep(0)
    await store.commit(Put("b/2", b""))
    last = await store.commit(Put("a/3", b"3"))
    assert await following == [Change(last, "a/3", b"3")]


async def test_watch_from_the_future_sees_only_later_changes(store: Store) -> None:
    revision = await store.commit(Put("a", b"1"))
    watch = store.watch("", after=revision + 1)
    following = asyncio.ensure_future(take(watch, 1))
    await asyncio.sleep(0)
    await store.commit(Put("a", b"2"))
    await store.commit(Put("a", b"3"))
    assert await following == [Change(revision + 2, "a", b"3", Entry("a", b"2", revision, revision + 1))]


async def test_a_change_is_seen_in_order_by_all_watchers_after_it_can_be_read(store: Store) -> None:
    start = await store.revision()

    async def follow(prefix: str) -> list[int]:
        seen = []
        async for change in store.watch(prefix, after=start):
            entry = await store.get(change.key)
            assert entry is not None and entry.modified >= change.revision
            seen.append(change.revision)
            if len(seen) == 100:
                return seen
        raise AssertionError

    watchers = [asyncio.ensure_future(follow(prefix)) for prefix in ("", "k", "k/")]
    revisions = [await store.commit(Put(f"k/{index}", b"")) for index in range(50)]
    revisions += await asyncio.gather(*(store.commit(Put(f"k/{index}", b"")) for index in range(50)))
    async with asyncio.timeout(10):
        assert await asyncio.gather(*watchers) == [sorted(revisions)] * 3


async def test_concurrent_commits_each_have_a_revision_and_only_one_wins_a_race(store: Store) -> None:
    start = await store.revision()
    revisions = await asyncio.gather(*(store.commit(Put("k", str(index).encode())) for index in range(300)))
    assert sorted(revisions) == list(range(start + 1, start + 301))
    entry = await store.get("k")
    assert entry is not None and int(entry.value) == revisions.index(start + 300)

    async def race(index: int) -> bool:
        try:
            await store.commit(Put("race", b"%d" % index, expected=0), Put(f"won/{index}", b""))
        except Conflict:
            return False
        return True

    won = await asyncio.gather(*(race(index) for index in range(100)))
    assert won.count(True) == 1
    assert await keys(store, "won/") == [f"won/{won.index(True)}"]


async def test_compaction_forgets_history_but_not_what_is_stored(store: Store) -> None:
    for index in range(10):
        last = await store.commit(Put("k", b"%d" % index))
    await store.compact(last - 2)
    entry = await store.get("k")
    assert entry is not None and entry.value == b"9"
    assert [change.revision for change in await take(store.watch("", after=last - 3), 3)] == [last - 2, last - 1, last]
    with pytest.raises(Compacted, match=f"is {last - 3}$") as caught:
        await take(store.watch("", after=last - 4), 1)
    assert caught.value.oldest == last - 3
    await store.compact(last - 5)
    await store.compact(last + 100)
    assert await store.commit(Put("k", b"x")) == last + 1
    assert [change.revision for change in await take(store.watch("", after=last), 1)] == [last + 1]


async def listed(store: Store, prefix: str, at: int = 0, after: str = "", limit: int = 0) -> Snapshot:
    return await store.list(prefix, at=at, after=after, limit=limit)


async def test_a_list_as_it_was(store: Store) -> None:
    await store.commit(Put("other", b""))
    moments = []
    for step in range(40):
        key = f"a/{step % 7}"
        await store.commit(Delete(key) if step % 3 == 2 else Put(key, b"%d" % step), Put(f"b/{step}", b""))
        moments.append(await listed(store, "a/"))
    for moment in moments:
        assert await listed(store, "a/", at=moment.revision) == moment
        assert await listed(store, "a/", at=moment.revision, after="a/2") == Snapshot(
            moment.revision, tuple(entry for entry in moment.entries if entry.key > "a/2")
        )
        found, after = [], ""
        while True:
            page = await listed(store, "a/", at=moment.revision, after=after, limit=2)
            assert page.revision == moment.revision
            found += page.entries
            assert page.remaining == len(moment.entries) - len(found)
            if not page.remaining:
                break
            after = page.entries[-1].key
            await store.commit(Put("a/3x", b""), Delete("a/4"))
        assert tuple(found) == moment.entries
    with pytest.raises(Invalid):
        await listed(store, "a/", at=await store.revision() + 1)


async def test_a_list_as_it_was_before_a_compaction_is_refused(store: Store) -> None:
    for index in range(10):
        last = await store.commit(Put(f"k/{index}", b""))
    assert len((await listed(store, "", at=last - 5)).entries) == 5
    await store.compact(last - 3)
    assert len((await listed(store, "", at=last - 4)).entries) == 6
    for revision in (last - 5, last - 6):
        with pytest.raises(Compacted) as caught:
            await listed(store, "", at=revision)
        assert caught.value.oldest == last - 4


async def test_the_past_is_finite_and_in_order(store: Store) -> None:
    first = await store.commit(Put("a/1", b"1"))
    for index in range(400):
        await store.commit(Put(f"{'ab'[index % 2]}/1", b"%d" % index))
    last = await store.revision()
    changes = [change async for change in store.past("a/", after=first, until=last)]
    assert [change.revision for change in changes] == list(range(first + 1, last + 1, 2))
    assert [change.previous.value for change in changes if change.previous] == [
        b"1",
        *(change.value for change in changes[:-1]),
    ]
    assert [change.revision async for change in store.past("", after=first + 3, until=first + 5)] == [
        first + 4,
        first + 5,
    ]
    assert [change async for change in store.past("", after=last, until=last)] == []
    with pytest.raises(Invalid):
        [change async for change in store.past("", after=first, until=last + 1)]
    await store.compact(last - 1)
    with pytest.raises(Compacted):
        [change async for change in store.past("", after=first, until=last)]


async def test_a_limited_list_says_how_many_remain(store: Store) -> None:
    await store.commit(*(Put(f"a/{index}", b"") for index in range(5)), Put("b", b""))
    assert (await listed(store, "a/", limit=2)).remaining == 3
    assert (await listed(store, "a/", after="a/1", limit=2)).remaining == 1
    assert (await listed(store, "a/", limit=5)).remaining == (await listed(store, "a/")).remaining == 0


async def test_the_revision_of_a_time(store: Store) -> None:
    times = [time.time()]
    before = await store.revision()
    for index in range(5):
        await store.commit(Put("k", b"%d" % index))
        times.append(time.time())
    assert [await store.revision_at(moment) for moment in times] == list(range(before, before + 6))
    assert await store.revision_at(times[-1] + 1000) == before + 5
    for index in range(1, 6):
        made = await store.time_at(before + index)
        assert times[index - 1] - 1e-5 <= made <= times[index] + 1e-5
    with pytest.raises(Invalid):
        await store.time_at(before + 6)
    await store.compact(before + 3)
    with pytest.raises(Compacted):
        await store.revision_at(times[1])
    with pytest.raises(Compacted):
        await store.time_at(before + 2)
    assert await store.revision_at(times[4]) == before + 4


async def test_compaction_does_not_overtake_an_idle_watcher(store: Store) -> None:
    watch = store.watch("mine/", after=await store.revision())
    following = asyncio.ensure_future(take(watch, 1))
    await asyncio.sleep(0)
    for index in range(20):
        last = await store.commit(Put("other", b"%d" % index))
    await store.compact(last)
    revision = await store.commit(Put("mine/1", b""))
    assert await following == [Change(revision, "mine/1", b"")]


async def test_closing_ends_watchers_and_refuses_commits(store: Store) -> None:
    following = asyncio.ensure_future(take(store.watch("", after=await store.revision()), 1))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    with pytest.raises(Unavailable):
        await following
    with pytest.raises(Unavailable):
        await store.commit(Put("a", b""))


async def test_an_abandoned_commit_or_watch_harms_nobody(store: Store) -> None:
    waiting = asyncio.ensure_future(store.commit(Put("a", b"")))
    await asyncio.sleep(0)
    waiting.cancel()
    watch = asyncio.ensure_future(take(store.watch("", after=await store.revision() + 10), 1))
    await asyncio.sleep(0)
    watch.cancel()
    await store.commit(Put("b", b""))
    assert "b" in await keys(store, "")
