"""Histories of concurrent clients are linearizable: on every store, through several stores on one etcd, and while etcd
is killed."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from etcd_kit import Etcd, eventually, running_etcd
from hypothesis import given, settings
from hypothesis import strategies as some
from linearizable import NEVER, Action, is_linearizable

from boxship.errors import Conflict, Unavailable
from boxship.store import Delete, Put, Store
from boxship.store.etcd.store import EtcdStore
from boxship.store.memory import MemoryStore
from boxship.store.sqlite import SqliteStore

KEYS = ("a", "b", "c")


def test_the_checker_knows_right_from_wrong() -> None:
    write = Action(0, 3, "write", value=1)
    assert is_linearizable([write, Action(1, 2, "read", seen=None)])
    assert is_linearizable([write, Action(1, 2, "read", seen=1)])
    assert not is_linearizable([write, Action(4, 5, "read", seen=None)])
    assert not is_linearizable([write, Action(1, 2, "read", seen=1), Action(4, 5, "read", seen=None)])
    assert not is_linearizable([write, Action(1, 2, "read", seen=2)])
    lost = Action(0, NEVER, "write", value=7)
    assert is_linearizable([lost, Action(1, 2, "read", seen=None)])
    assert is_linearizable([lost, Action(1, 2, "read", seen=None), Action(3, 4, "read", seen=7)])
    assert not is_linearizable([lost, Action(1, 2, "read", seen=7), Action(3, 4, "read", seen=None)])
    swap = Action(0, 9, "swap", value=2, expected=None, done=True)
    other = Action(0, 9, "swap", value=3, expected=None, done=True)
    assert is_linearizable([swap, other._replace(done=False)])
    assert not is_linearizable([swap, other])


@given(some.lists(some.tuples(some.sampled_from(["read", "write", "swap"]), some.integers(0, 2)), max_size=8))
def test_the_checker_accepts_what_a_register_did(program: list[tuple[str, int]]) -> None:
    state: object = None
    actions = []
    for index, (kind, value) in enumerate(program):
        done = state == value
        actions.append(Action(index, index + 3, kind, value=index, expected=value, seen=state, done=done))
        if kind == "write" or (kind == "swap" and done):
            state = index
    assert is_linearizable(actions)


class History:
    """Clients at work on a few keys, each with values that nobody else writes."""

    def __init__(self) -> None:
        self.actions: dict[str, list[Action]] = {key: [] for key in KEYS}
        self._clock = itertools.count()
        self._value = itertools.count(1)

    async def client(self, store: Store, chance: random.Random, steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(chance.choice((0, 0, 0.001)))
            key = chance.choice(KEYS)
            begin = next(self._clock)
            try:
                action = await self._act(store, key, chance)
            except Unavailable:  # a read: it said nothing
                await eventually(lambda: works(store))
                continue
            if action.end == NEVER:
                await eventually(lambda: works(store))
            else:
                action = action._replace(end=next(self._clock))
            self.actions[key].append(action._replace(begin=begin))

    async def _act(self, store: Store, key: str, chance: random.Random) -> Action:
        kind = chance.choice(("read", "listed", "write", "remove", "swap"))
        if kind == "read":
            entry = await store.get(key)
            return Action(0, 0, "read", seen=entry and entry.value)
        if kind == "listed":
            found = {entry.key: entry.value for entry in (await store.list("")).entries}
            return Action(0, 0, "read", seen=found.get(key))
        value = b"%d" % next(self._value)
        if kind == "swap":
            known = await store.get(key)
            swap = Action(0, 0, "swap", value=value, expected=known and known.value)
            try:
                await store.commit(Put(key, value, expected=known.modified if known else 0))
            except Conflict:
                return swap._replace(done=False)
            except Unavailable:
                return swap._replace(end=NEVER)
            return swap
        write = Action(0, 0, "write", value=value if kind == "write" else None)
        try:
            await store.commit(Put(key, value) if kind == "write" else Delete(key))
        except Unavailable:
            return write._replace(end=NEVER)
        return write

    async def reached(self, count: int) -> bool:
        return sum(map(len, self.actions.values())) >= count

    def check(self) -> None:
        for key, actions in self.actions.items():
            assert is_linearizable(actions), (key, sorted(actions))


async def works(store: Store) -> bool:
    await store.get("a")
    return True


async def play(
    stores: Sequence[Store], seed: int, clients: int = 6, steps: int = 12, history: History | None = None
) -> None:
    for entry in (await stores[0].list("")).entries:
        await stores[0].commit(Delete(entry.key))
    history = history or History()
    chance = random.Random(seed)
    async with asyncio.TaskGroup() as group:
        for index in range(clients):
            client = history.client(stores[index % len(stores)], random.Random(chance.random()), steps)
            group.create_task(client)
    history.check()


@settings(max_examples=12, deadline=None)
@given(some.integers())
def test_memory_is_linearizable(seed: int) -> None:
    asyncio.run(play([MemoryStore()], seed))


async def test_sqlite_is_linearizable(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.db", backup=False)
    for seed in range(25):
        await play([store], seed)
    await store.close()


async def test_several_on_one_etcd_are_linearizable(session_etcd: Etcd) -> None:
    await asyncio.to_thread(session_etcd.empty)
    stores = [await EtcdStore.open(session_etcd.url) for _ in range(3)]
    for seed in range(15):
        await play(stores, seed)
    for store in stores:
        await store.close()


async def test_a_read_that_asks_nobody_is_found_out(session_etcd: Etcd) -> None:
    """The checker and the histories are sharp enough: what `fresh=False` promises is less, and is noticed."""

    class Lazy(EtcdStore):
        async def _refresh(self) -> None:
            await asyncio.sleep(0)

        async def _see(self, revision: int) -> None:
            return

    await asyncio.to_thread(session_etcd.empty)
    stores = [await Lazy.open(session_etcd.url) for _ in range(3)]
    with pytest.raises(AssertionError):
        for seed in range(200):
            await play(stores, seed)
    for store in stores:
        await store.close()


async def test_etcd_is_linearizable_while_it_is_killed(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        stores = [await EtcdStore.open(etcd.url) for _ in range(3)]

        history = History()

        async def disturb() -> None:
            for count in (60, 180):
                await eventually(lambda count=count: history.reached(count))  # type: ignore[misc]
                await asyncio.to_thread(etcd.kill)
                await asyncio.to_thread(etcd.start)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(disturb())
            group.create_task(play(stores, 7, clients=5, steps=60, history=history))
        assert any(action.end == NEVER for actions in history.actions.values() for action in actions)
        for store in stores:
            await store.close()
