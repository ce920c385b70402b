"""The SQLite file's history: files of version 1, damage, what is forgotten by age, clocks that jump."""

import asyncio
import contextlib
import sqlite3
import tarfile
from pathlib import Path

import pytest

from boxship.errors import Unavailable
from boxship.store import Compacted, Delete, Put
from boxship.store.ages import Ages, Mark
from boxship.store.sqlite import SqliteStore

FILES = Path(__file__).with_name("files")


async def test_a_file_of_version_1_is_read_and_carried_on(tmp_path: Path) -> None:
    """As the release before the Kubernetes API left it, killed in the middle: with its write-ahead log."""
    with tarfile.open(FILES / "version-1.tar.xz") as archive:
        archive.extractall(tmp_path)  # of our own making; Debian 12 has no filters yet
    path = tmp_path / "state.db"
    for round_number in range(2):  # again as a file of version 2
        store = await SqliteStore.open(path, backup=False)
        found = {entry.key: entry for entry in (await store.list("")).entries}
        assert len(found) == 19 + 1 + 10 + round_number
        assert found["other/é"].value == b"\x00\xff" and found["other/é"].modified == 61
        assert found["containers/07"].created == 8 and found["containers/07"].modified == 48
        assert await store.revision() == 71 + round_number
        changes = [change async for change in store.past("", after=0, until=71)]
        assert [change.revision for change in changes] == sorted([*range(1, 72), 61])
        assert (changes[60].key, changes[60].value) == ("containers/05", None)
        with pytest.raises(Compacted) as caught:
            await store.list("", at=70)
        assert caught.value.oldest == 71
        assert len((await store.list("", at=71)).entries) == 30
        assert await store.commit(Put(f"new/{round_number}", b"")) == 72 + round_number
        assert len((await store.list("", at=71)).entries) == 30
        await store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


async def test_a_damaged_history_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = await SqliteStore.open(path, backup=False)
    for index in range(600):  # more than is kept in memory
        await store.commit(Put("k", b"value-%03d" % index))
    await store.close()
    data = path.read_bytes()
    assert data.count(b"value-100") == 1
    path.write_bytes(data.replace(b"value-100", b"valve-100"))
    store = await SqliteStore.open(path, backup=False)
    with pytest.raises(Unavailable, match="the history of revision 101 is damaged"):
        [change async for change in store.past("", after=50, until=200)]
    assert len([change async for change in store.past("", after=400, until=600)]) == 200
    await store.close()


async def test_previous_values_come_back_whole_from_the_disk(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.db", backup=False)
    values = [
        b"",
        b"a",
        b"aa",
        b"aaa",
        b"aba",
        b"",
        b"abcabc",
        b"abc",
        b"abcabcabc",
        b"xabcabcabcy",
        b"y",
        b"\xff" * 99,
    ]
    for value in values:
        await store.commit(Put("k", value))
    await store.commit(Delete("k"))
    for index in range(400):
        await store.commit(Put("filling", b"%d" % index))
    changes = [change async for change in store.past("k", after=0, until=len(values) + 1)]
    assert [change.value for change in changes] == [*values, None]
    assert [change.previous and change.previous.value for change in changes] == [None, *values]
    assert [change.previous and change.previous.modified for change in changes] == [None, *range(1, len(values) + 1)]
    await store.close()


class Clocks:
    def __init__(self) -> None:
        self.wall = 1_000_000.0
        self.monotonic = 5.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


async def opened(path: Path, clocks: Clocks, seconds: float | None = 3600, limit: int | None = None) -> SqliteStore:
    return await SqliteStore.open(
        path,
        backup=False,
        history_limit=limit,
        history_seconds=seconds,
        wall=lambda: clocks.wall,
        monotonic=lambda: clocks.monotonic,
    )


async def oldest(store: SqliteStore) -> int:
    """The oldest revision that can be asked for."""
    try:
        await store.list("", at=1)
    except Compacted as error:
        return error.oldest
    return 1


async def test_history_is_forgotten_by_age(tmp_path: Path) -> None:
    clocks = Clocks()
    store = await opened(tmp_path / "state.db", clocks)
    for minute in range(180):
        await store.commit(Put("k", b"%d" % minute))
        clocks.pass_by(60)
    assert 118 <= await oldest(store) <= 121
    assert await store.revision_at(clocks.wall - 30 * 60) == 151  # revision N was made in minute N - 1
    with pytest.raises(Compacted):
        await store.revision_at(clocks.wall - 3 * 3600)
    await store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        assert connection.execute("SELECT count(*) FROM history").fetchone()[0] <= 64
        assert connection.execute("SELECT count(*) FROM times").fetchone()[0] <= 64
    clocks.pass_by(30 * 24 * 3600)  # switched off for a month
    clocks.monotonic = 3.0
    store = await opened(tmp_path / "state.db", clocks)
    before = await oldest(store)
    assert before <= 121
    await store.commit(Put("k", b"again"))
    assert await oldest(store) == before
    await store.close()


async def test_both_limits_hold(tmp_path: Path) -> None:
    clocks = Clocks()
    store = await opened(tmp_path / "state.db", clocks, limit=50)
    for index in range(1000):
        await store.commit(Put("k", b"%d" % index))
    assert 1000 - 50 - 129 <= await oldest(store) <= 1000 - 50
    await store.close()


@pytest.mark.parametrize("jump", [10 * 365 * 86400.0, -10 * 365 * 86400.0])
async def test_a_clock_that_jumps_takes_no_history_away(tmp_path: Path, jump: float) -> None:
    clocks = Clocks()
    store = await opened(tmp_path / "state.db", clocks)
    for index in range(40):
        if index in (20, 30):
            clocks.wall += jump if index == 20 else -jump
        await store.commit(Put("k", b"%d" % index))
        clocks.pass_by(11)
    assert await oldest(store) == 1
    assert await store.revision_at(clocks.wall - 11 * 5 - 1) == 35
    await store.close()
    clocks.wall += jump
    store = await opened(tmp_path / "state.db", clocks)
    for index in range(3):
        await store.commit(Put("k", b"%d" % index))
    assert await oldest(store) == 1
    assert await store.revision_at(clocks.wall) == 43
    await store.close()


def test_marks_are_few_and_follow_the_clocks() -> None:
    ages = Ages([Mark(7, 500.0, 100.0)], started=1000.0)
    first = ages.mark(8, 900.0, 1000.0)
    assert first == Mark(8, 900.0, 100.0)
    ages.left(first)
    assert ages.mark(9, 909.0, 1009.0) is None
    back = ages.mark(10, 905.0, 1009.5)
    assert back == Mark(10, 905.0, 109.5)
    ages.left(back)
    assert ages.mark(11, 906.0, 1019.0) is None
    assert ages.mark(12, 999.0, 1019.5) == Mark(12, 999.0, 119.5)
    assert ages.first_within(10.0, 1019.4) == 8
    assert ages.first_within(10.0, 1019.5) == 10
    assert ages.first_within(1000.0, 1019.5) == 0
    ages.forget(9)
    assert ages.first_within(10.0, 1019.4) == 8
    ages.forget(10)
    assert ages.first_within(10.0, 1019.4) == 0


async def test_an_idle_store_forgets_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxship.store.writer.LOOK_SECONDS", 0.02)
    clocks = Clocks()
    store = await opened(tmp_path / "state.db", clocks)
    for index in range(20):
        await store.commit(Put("k", b"%d" % index))
        clocks.pass_by(60)
    clocks.pass_by(3600)
    async with asyncio.timeout(10):
        while await oldest(store) < 19:
            await asyncio.sleep(0.01)
    assert (await store.list("", at=20)).entries[0].value == b"19"
    await store.close()
