"""Random histories against a plain dict, on every store."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from etcd_kit import Etcd
from hypothesis import given, settings
from hypothesis import strategies as some

from boxship.errors import Conflict
from boxship.store import Compacted, Delete, Entry, Operation, Put, Store
from boxship.store.etcd.store import EtcdStore
from boxship.store.memory import MemoryStore
from boxship.store.sqlite import SqliteStore

KEYS = some.sampled_from(["a", "a/", "a/b", "a/ü", "a/\U0010ffff", "b", "\uffff", "\U0010ffff\U0010ffff"])
# How `expected` relates to the truth: not given, right, absent, wrong.
EXPECTATIONS = some.sampled_from(["none", "right", "absent", "wrong"])
OPERATIONS = some.tuples(KEYS, some.none() | some.binary(max_size=9), EXPECTATIONS)
STEPS = some.one_of(
    some.tuples(some.just("commit"), some.lists(OPERATIONS, max_size=4, unique_by=lambda item: item[0])),
    some.tuples(some.just("reopen"), some.none()),
    some.tuples(some.just("compact"), some.integers(0, 30)),
    some.tuples(some.just("look back"), some.integers(1, 100)),
)

Model = dict[str, tuple[bytes, int, int]]


def concrete(model: Model, drawn: list[tuple[str, bytes | None, str]]) -> tuple[list[Operation], bool]:
    """The operations, and whether the store must accept them."""
    operations: list[Operation] = []
    fine = True
    for key, value, expectation in drawn:
        now = model[key][2] if key in model else 0
        expected = {"none": None, "right": now, "absent": 0, "wrong": now + 1}[expectation]
        fine = fine and expected in (None, now)
        operations.append(Delete(key, expected) if value is None else Put(key, value, expected))
    return operations, fine


Open = Callable[[], Awaitable[Store]]


async def play(store: Store, again: Open | None, steps: list[tuple[str, object]]) -> None:
    """Make the steps on a store; `again` opens it after it was closed."""
    for entry in (await store.list("")).entries:
        await store.commit(Delete(entry.key))
    model: Model = {}
    revision = oldest = start = await store.revision()
    history: list[tuple[int, str, bytes | None]] = []
    moments: dict[int, Model] = {start: {}}
    for step, argument in steps:
        if step == "reopen" and again is not None:
            await store.close()
            store = await again()
        elif step == "compact":
            assert isinstance(argument, int)
            await store.compact(start + argument)
            oldest = max(oldest, min(start + argument, revision) - 1)
        elif step == "commit":
            operations, fine = concrete(model, argument)  # type: ignore[arg-type]
            try:
                found = await store.commit(*operations)
            except Conflict:
                assert not fine
                continue
            assert fine
            revision += 1
            assert found == revision
            for operation in operations:
                if isinstance(operation, Put):
                    created = model[operation.key][1] if operation.key in model else revision
                    model[operation.key] = (operation.value, created, revision)
                    history.append((revision, operation.key, operation.value))
                elif model.pop(operation.key, None):
                    history.append((revision, operation.key, None))
            moments[revision] = dict(model)
        elif step == "look back":
            assert isinstance(argument, int)
            await compare_moment(store, moments, start + argument % (revision - start + 1), oldest)
    await compare(store, model, revision)
    for at in range(start, revision + 1):
        await compare_moment(store, moments, at, oldest)
    await compare_history(store, [row for row in history if row[0] > oldest], oldest)
    await store.close()


async def compare(store: Store, model: Model, revision: int) -> None:
    for prefix in ("", "a", "a/", "\uffff", "\U0010ffff"):
        snapshot = await store.list(prefix)
        assert snapshot.revision == revision
        assert [(e.key, e.value, e.created, e.modified) for e in snapshot.entries] == [
            (key, *model[key]) for key in sorted(model) if key.startswith(prefix)
        ]


async def compare_moment(store: Store, moments: dict[int, Model], at: int, oldest: int) -> None:
    """The list as it was at that revision, whole and page by page."""
    if not at:
        return
    if at < oldest:
        with pytest.raises(Compacted):
            await store.list("", at=at)
        return
    for prefix in ("", "a/"):
        wanted = [(key, *entry) for key, entry in sorted(moments[at].items()) if key.startswith(prefix)]
        snapshot = await store.list(prefix, at=at)
        assert (snapshot.revision, snapshot.remaining) == (at, 0)
        assert [(e.key, e.value, e.created, e.modified) for e in snapshot.entries] == wanted
        first = await store.list(prefix, at=at, limit=1)
        assert first.entries == snapshot.entries[:1] and first.remaining == max(len(wanted) - 1, 0)
        if wanted:
            rest = await store.list(prefix, at=at, after=wanted[0][0])
            assert rest.entries == snapshot.entries[1:]


async def compare_history(store: Store, rows: list[tuple[int, str, bytes | None]], oldest: int) -> None:
    watch = store.watch("", after=oldest)
    async with asyncio.timeout(10):
        changes = [await anext(watch) for _ in rows]
    assert [(change.revision, change.key, change.value) for change in changes] == rows
    assert [change async for change in store.past("", after=oldest, until=await store.revision())] == changes
    known: dict[str, Entry | None] = {}
    for change in changes:
        if change.key in known:
            assert change.previous == known[change.key]
        created = change.previous.created if change.previous else change.revision
        value = change.value
        known[change.key] = None if value is None else Entry(change.key, value, created, change.revision)


@settings(max_examples=150, deadline=None)
@given(some.lists(STEPS, max_size=25))
def test_memory_store_follows_the_model(steps: list[tuple[str, object]]) -> None:
    asyncio.run(play(MemoryStore(), None, steps))


@settings(max_examples=40, deadline=None)
@given(some.lists(STEPS, max_size=25))
def test_sqlite_store_follows_the_model(steps: list[tuple[str, object]]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:

            async def again() -> Store:
                return await SqliteStore.open(Path(folder, "state.db"))

            await play(await again(), again, steps)

    asyncio.run(run())


def test_etcd_store_follows_the_model(session_etcd: Etcd) -> None:
    session_etcd.empty()

    async def again() -> Store:
        return await EtcdStore.open(session_etcd.url)

    @settings(max_examples=12, deadline=None)
    @given(some.lists(STEPS, max_size=25))
    def follow(steps: list[tuple[str, object]]) -> None:
        async def run() -> None:
            await play(await again(), again, steps)

        runner.run(run())

    with asyncio.Runner() as runner:
        follow()
