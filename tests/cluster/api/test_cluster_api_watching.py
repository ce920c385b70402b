"""Watches: what enters and leaves a selection, bookmarks, first events, history, slow readers, many readers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cluster_api_kit import Asker, Watch, config_map, running

from boxship.cluster.api import happenings
from boxship.cluster.api.request import Stream, View
from boxship.cluster.objects.failure import Failure
from boxship.store.memory import MemoryStore
from boxship.store.sqlite import SqliteStore

PATH = "v1/configmaps"
STREAMING = {"initial_events": True, "match": "NotOlderThan", "bookmarks": True}


@pytest.fixture(params=["memory", "sqlite"])
async def asker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Asker]:
    store = MemoryStore() if request.param == "memory" else await SqliteStore.open(tmp_path / "state.db", backup=False)
    async with running(store) as asker:
        yield asker


async def test_what_enters_and_leaves_a_selection(asker: Asker) -> None:
    watch = await asker.watch(PATH, "default", label_selector="app=a", version="")
    await asker.create(PATH, "default", config_map("x"))
    await asker.create(PATH, "default", config_map("y", labels={"app": "a"}))
    await asker.patch(PATH, "default", "x", {"metadata": {"labels": {"app": "a"}}})
    await asker.patch(PATH, "default", "y", {"metadata": {"labels": {"app": "b"}}})
    await asker.patch(PATH, "default", "y", {"data": {"unseen": "1"}})
    await asker.delete(PATH, "default", "x")
    events = [await watch.next() for _ in range(4)]
    assert [(each["type"], each["object"]["metadata"]["name"]) for each in events] == [
        ("ADDED", "y"),
        ("ADDED", "x"),
        ("DELETED", "y"),
        ("DELETED", "x"),
    ]
    assert events[2]["object"]["metadata"]["labels"] == {"app": "a"}
    assert int(events[2]["object"]["metadata"]["resourceVersion"]) == 4
    assert int(events[3]["object"]["metadata"]["resourceVersion"]) == 6
    await watch.close()


async def test_first_events_end_with_their_bookmark(asker: Asker) -> None:
    for name in "ab":
        await asker.create(PATH, "default", config_map(name))
    watch = await asker.watch(PATH, **STREAMING)
    assert await watch.take(2) == [("ADDED", "a"), ("ADDED", "b")]
    mark = await watch.next()
    assert mark["type"] == "BOOKMARK" and mark["object"]["kind"] == "ConfigMap"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert mark["object"]["metadata"]["resourceVersion"] == "2"
    await asker.create(PATH, "default", config_map("c"))
    assert await watch.take(1) == [("ADDED", "c")]
    await watch.close()


async def test_a_watch_goes_on_where_it_was(asker: Asker) -> None:
    for name in "abcd":
        await asker.create(PATH, "default", config_map(name))
    await asker.delete(PATH, "default", "c")
    watch = await asker.watch(PATH, version="2")
    assert await watch.take(3) == [("ADDED", "c"), ("ADDED", "d"), ("DELETED", "c")]
    await watch.close()
    unwanted = await asker.watch(
        PATH, bookmarks=True, match="NotOlderThan", parameters={"sendInitialEvents": ("false",)}
    )
    pending = asyncio.ensure_future(unwanted.next())
    await asyncio.sleep(0)
    await asker.create(PATH, "default", config_map("e"))
    assert (await pending)["object"]["metadata"]["name"] == "e"
    await unwanted.close()


async def test_what_is_forgotten_is_an_error_event(asker: Asker) -> None:
    for name in "abcd":
        await asker.create(PATH, "default", config_map(name))
    ready = await asker.watch(PATH, version="4")
    await asker.create(PATH, "default", config_map("e"))
    await ready.take(1)  # the changes were looked at
    await ready.close()
    await asker.store.compact(4)
    watch = await asker.watch(PATH, version="1")
    event = await watch.next()
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1 (")
    with pytest.raises(StopAsyncIteration):
        await watch.next()


async def test_bookmarks_and_the_end(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxship.cluster.api.watching.BOOKMARK_EVERY", 0.02)
    await asker.create(PATH, "default", config_map("a"))
    await asker.create("v1/secrets", "default", {"metadata": {"name": "s"}})
    watch = await asker.watch(PATH, version="1", bookmarks=True, timeout=0.2)
    first = await watch.next()
    assert first["type"] == "BOOKMARK" and int(first["object"]["metadata"]["resourceVersion"]) >= 1
    with pytest.raises(StopAsyncIteration):
        for _ in range(100):
            await watch.next()


async def test_views_of_events(asker: Asker) -> None:
    await asker.create(PATH, "default", config_map("a", {"k": "v"}))
    tables = await asker.watch(PATH, view=View("table"))
    metadata = await asker.watch(PATH, view=View("metadata"))
    first = (await tables.next())["object"]
    assert first["kind"] == "Table" and first["columnDefinitions"] and len(first["rows"]) == 1
    assert (await metadata.next())["object"]["kind"] == "PartialObjectMetadata"
    await asker.create(PATH, "default", config_map("b"))
    second = (await tables.next())["object"]
    assert second["columnDefinitions"] is None and second["rows"][0]["cells"][0] == "b"
    assert "data" not in (await metadata.next())["object"]
    await tables.close()
    await metadata.close()


async def test_one_object_by_name_and_wrong_questions(asker: Asker) -> None:
    watch = await asker.watch(PATH, "default", name="b")
    await asker.create(PATH, "default", config_map("a"))
    await asker.create(PATH, "default", config_map("b"))
    assert await watch.take(1) == [("ADDED", "b")]
    await watch.close()
    with pytest.raises(Failure, match="sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"):
        await asker.watch(PATH, initial_events=True, bookmarks=True)
    with pytest.raises(Failure, match="resourceVersionMatch is forbidden for watch unless sendInitialEvents"):
        await asker.watch(PATH, match="Exact", version="1")
    with pytest.raises(Failure, match="found '==', expected: ',' or"):
        await asker.watch(PATH, label_selector="a==b==")


async def test_a_slow_reader_is_cut_and_blocks_nobody(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happenings, "WINDOW_EVENTS", 8)
    await asker.create(PATH, "default", config_map("a"))
    slow, quick = await asker.watch(PATH, version="1"), await asker.watch(PATH, version="1")
    for number in range(60):
        await asker.patch(PATH, "default", "a", {"data": {"n": str(number)}})
        if number == 0:
            last = await slow.next()
        assert (await quick.next())["object"]["data"]["n"] == str(number)
    with pytest.raises(StopAsyncIteration):
        for _ in range(60):
            last = await slow.next()
    again = await asker.watch(PATH, version=last["object"]["metadata"]["resourceVersion"])
    seen = int(last["object"]["data"]["n"])
    for number in range(seen + 1, 60):
        assert (await again.next())["object"]["data"]["n"] == str(number)
    for each in (quick, again):
        await each.close()


async def test_many_readers_share_one_rendering(asker: Asker) -> None:
    await asker.create(PATH, "default", config_map("a"))
    watches = [await asker.watch(PATH, version="1") for _ in range(50)]
    waiting = [asyncio.ensure_future(watch.next()) for watch in watches]
    await asyncio.sleep(0)
    await asker.patch(PATH, "default", "a", {"data": {"k": "v"}})
    await asyncio.gather(*waiting)
    assert len({id(watch.raw[0]) for watch in watches}) == 1
    for watch in watches:
        await watch.close()


async def test_a_store_that_forgot_ends_the_watches(asker: Asker) -> None:
    stream = await asker.api.perform(asker.request("watch", PATH))
    assert isinstance(stream, Stream)
    watch = Watch(stream)
    pending = asyncio.ensure_future(watch.next())
    await asyncio.sleep(0.02)
    asker.api.end_watches()
    with pytest.raises(StopAsyncIteration):
        await pending
