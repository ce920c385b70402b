"""etcd away, killed, frozen, replaced, compacted meanwhile: what was acknowledged is there, watches have no gap."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from etcd_kit import Etcd, Gate, eventually, running_etcd

from boxship.errors import Unavailable
from boxship.store import Change, Compacted, Delete, Put, Store
from boxship.store.etcd.store import EtcdStore


@pytest.fixture
async def gate(session_etcd: Etcd) -> AsyncIterator[Gate]:
    session_etcd.empty()
    made = Gate(session_etcd)
    await made.open()
    yield made
    with contextlib.suppress(AssertionError):
        await made.cut()


class Following:
    """A watcher that notes what it is told until it ends."""

    def __init__(self, store: Store, after: int) -> None:
        self.changes: list[Change] = []
        self.error: Exception | None = None
        self.task = asyncio.create_task(self._follow(store, after))

    async def _follow(self, store: Store, after: int) -> None:
        try:
            async for change in store.watch("", after=after):
                self.changes.append(change)
        except Unavailable as error:
            self.error = error


async def write(store: Store, name: str, acknowledged: dict[str, int], stop: asyncio.Event) -> None:
    """Commit pairs; go on after an error with the next number, because nobody knows whether that one was made."""
    count = 0
    while not stop.is_set():
        count += 1
        key = f"{name}/{count % 20:02}"
        with contextlib.suppress(Unavailable):
            await store.commit(Put(key, b"%d" % count), Put(f"{key}/twin", b"%d" % count))
            acknowledged[key] = count
            continue
        await asyncio.sleep(0.01)


async def test_kill_9_of_etcd_under_load_loses_nothing_and_watches_have_no_gap(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        first, second = await EtcdStore.open(etcd.url), await EtcdStore.open(etcd.url)
        start = await first.revision()
        followings = [Following(store, start) for store in (first, second)]
        acknowledged: dict[str, int] = {}
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for index in range(4):
                group.create_task(write((first, second)[index % 2], f"w{index}", acknowledged, stop))
            for _ in range(2):
                known = len(followings[0].changes)
                await eventually(lambda known=known: reached(followings, known + 200))  # type: ignore[misc]
                await asyncio.to_thread(etcd.kill)
                await asyncio.to_thread(etcd.start)
            known = len(followings[0].changes)
            await eventually(lambda: reached(followings, known + 200))
            stop.set()
        last = await first.revision()
        found = {entry.key: int(entry.value) for entry in (await second.list("")).entries}
        for key, count in acknowledged.items():
            assert found[key] >= count
        for key, count in found.items():
            assert key.endswith("/twin") or found[f"{key}/twin"] == count  # no commit is there by half
        truth = [change async for change in first.past("", after=start, until=last)]
        fresh = await EtcdStore.open(etcd.url)
        assert [change async for change in fresh.past("", after=start, until=last)] == truth
        await eventually(lambda: reached(followings, len(truth)))
        for following in followings:
            assert following.changes == truth and following.error is None
        for store in (first, second, fresh):
            await store.close()
        assert all(isinstance(following.error, Unavailable) for following in followings)


async def reached(followings: list[Following], count: int) -> bool:
    return all(len(following.changes) >= count for following in followings)


async def test_away_and_back(gate: Gate, session_etcd: Etcd) -> None:
    store, other = await EtcdStore.open(gate.url), await EtcdStore.open(session_etcd.url)
    start = await store.commit(Put("k", b"0"))
    following = Following(store, start)
    await gate.cut()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await store.get("k")
        with pytest.raises(Unavailable):
            await store.commit(Put("k", b"lost"))
    entry = await store.get("k", fresh=False)
    assert entry is not None and entry.value == b"0"
    for index in range(50):
        last = await other.commit(Put("k", b"%d" % index))
    await gate.open()
    await eventually(lambda: store.get("k"))
    entry = await store.get("k")
    assert entry is not None and entry.value == b"49"
    assert await store.commit(Put("k", b"back")) == last + 1
    await eventually(lambda: reached([following], 51))
    assert [change.revision for change in following.changes] == list(range(start + 1, last + 2))
    assert following.changes[-1].previous == entry and following.error is None
    await store.close()
    await other.close()


async def test_compacted_while_away(gate: Gate, session_etcd: Etcd) -> None:
    store, other = await EtcdStore.open(gate.url), await EtcdStore.open(session_etcd.url)
    start = await store.commit(Put("stays", b"0"), Put("goes", b"0"))
    following = Following(store, start)
    await eventually(lambda: reached([following], 0))
    await gate.cut()
    await other.commit(Delete("goes"), Put("comes", b"1"))
    for index in range(20):
        last = await other.commit(Put("k", b"%d" % index))
    await other.compact(last)
    await gate.open()
    await eventually(lambda: store.get("k"))
    assert await store.list("") == await other.list("")
    await eventually(lambda: ended(following))
    assert isinstance(following.error, Compacted) and following.error.oldest == last - 1
    assert following.changes == []
    again = Following(store, last)
    await store.commit(Put("k", b"new"))
    await eventually(lambda: reached([again], 1))
    assert again.changes[0].revision == last + 1
    assert await store.list("", at=last) == await other.list("", at=last)
    await store.close()
    await other.close()


async def ended(following: Following) -> bool:
    return following.task.done()


async def test_content_that_was_replaced_is_refused(tmp_path: Path) -> None:
    with running_etcd(tmp_path, "--unsafe-no-fsync") as etcd:
        store = await EtcdStore.open(etcd.url)
        for index in range(10):
            await store.commit(Put("k", b"%d" % index))
        etcd.kill()
        shutil.rmtree(tmp_path / etcd.name)
        await asyncio.to_thread(etcd.start)
        async with asyncio.timeout(15):
            while store._mirror.broken is None:
                await asyncio.sleep(0.02)
        for _ in range(2):
            with pytest.raises(Unavailable, match="its content was replaced"):
                await store.get("k")
            with pytest.raises(Unavailable, match="its content was replaced"):
                await store.commit(Put("k", b""))
        with pytest.raises(Unavailable, match="its content was replaced"):
            await anext(store.watch("", after=10))
        await store.close()


async def test_a_frozen_etcd_is_unavailable_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxship.store.etcd.connection.ASK_SECONDS", 0.3)
    monkeypatch.setattr("boxship.store.etcd.connection.COMMIT_SECONDS", 0.3)
    with running_etcd(tmp_path, "--unsafe-no-fsync") as etcd:
        store = await EtcdStore.open(etcd.url)
        await store.commit(Put("k", b"1"))
        etcd.freeze()
        async with asyncio.timeout(12):
            with pytest.raises(Unavailable, match="does not answer"):
                await store.get("k")
            with pytest.raises(Unavailable, match="does not answer"):
                await store.commit(Put("k", b"2"))
            with pytest.raises(Unavailable):
                await EtcdStore.open(etcd.url)
        etcd.signal(signal.SIGCONT)
        await eventually(lambda: store.get("k"))
        entry = await store.get("k")
        assert entry is not None and entry.value in (b"1", b"2")  # nobody was told
        await store.close()


async def test_nobody_there() -> None:
    async with asyncio.timeout(8):
        with pytest.raises(Unavailable, match="cannot read etcd"):
            await EtcdStore.open("http://127.0.0.1:1")


async def test_one_of_three_members_may_die(tmp_path: Path) -> None:
    members = [Etcd(tmp_path, "--unsafe-no-fsync", name=name) for name in ("a", "b", "c")]
    cluster = ",".join(f"{member.name}={member.peer_url}" for member in members)
    try:
        for member in members:
            member.cluster = cluster
            member.launch()
        for member in members:
            await asyncio.to_thread(member.start) if member.process is None else None
        store = None
        async with asyncio.timeout(20):
            while store is None:
                with contextlib.suppress(Unavailable):
                    store = await EtcdStore.open(",".join(member.url for member in members))
        start = await store.revision()
        following = Following(store, start)
        for index in range(20):
            await store.commit(Put("k", b"%d" % index))
        used = next(member for member in members if member.url == store.endpoint)
        await asyncio.to_thread(used.kill)
        await eventually(lambda: store.get("k"))
        for index in range(20, 40):
            await eventually(lambda index=index: committed(store, index))  # type: ignore[misc]
        await eventually(lambda: reached([following], 40))
        values = [int(change.value or b"") for change in following.changes]
        assert sorted(set(values)) == list(range(40)) and values == sorted(values)
        revisions = [change.revision for change in following.changes]
        assert revisions == list(range(start + 1, start + 1 + len(revisions)))
        await store.close()
    finally:
        for member in members:
            member.stop()


async def committed(store: Store, index: int) -> bool:
    await store.commit(Put("k", b"%d" % index))
    return True
