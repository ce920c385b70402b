"""What only the SQLite store has: survival of kill -9, damage, full disks, history on the disk, speed."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxship.errors import Exhausted, Unavailable
from boxship.store import Delete, Put, Store
from boxship.store.sqlite import SqliteStore


async def fill(path: Path, count: int = 200) -> None:
    store = await SqliteStore.open(path)
    for index in range(count):
        await store.commit(Put(f"k/{index:03}", b"%d" % index * 100))
    await store.close()


async def values(store: Store, prefix: str = "") -> dict[str, bytes]:
    return {entry.key: entry.value for entry in (await store.list(prefix)).entries}


async def test_everything_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.db"
    await fill(path)
    store = await SqliteStore.open(path)
    revision = await store.commit(Delete("k/000"))
    assert revision == 201 and len(await values(store)) == 199
    watch = store.watch("k/00", after=0)
    seen = [await anext(watch) for _ in range(11)]
    assert seen[0].value == b"" or seen[0].value == b"0" * 100
    assert [change.revision for change in seen] == [*range(1, 11), 201]
    await store.close()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_two_at_once_are_refused(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.db")
    with pytest.raises(Unavailable, match="another process has it open"):
        await SqliteStore.open(tmp_path / "state.db")
    await store.close()
    await (await SqliteStore.open(tmp_path / "state.db")).close()


def damage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"not a database")


def damage_pages(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(64))


def damage_content(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"150" * 10, b"X50" + b"150" * 9))  # what is stored and its history


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_database(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE x (y)")


def lose_history(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM history WHERE revision > 190")


@pytest.mark.parametrize(
    "harm",
    [damage_header, damage_pages, damage_content, truncate, empty, Path.unlink, other_database, lose_history],
)
async def test_a_damaged_file_is_refused_and_the_backup_named(tmp_path: Path, harm: object) -> None:
    path = tmp_path / "state.db"
    await fill(path)
    await (await SqliteStore.open(path)).close()  # refreshes the backup
    assert callable(harm)
    harm(path)
    before = path.read_bytes() if path.exists() else b""
    with pytest.raises(Unavailable) as caught:
        await SqliteStore.open(path)
    assert str(path) in str(caught.value) and f"the newest backup is {path}.backup of 20" in str(caught.value)
    assert (path.read_bytes() if path.exists() else b"") == before
    path.unlink(missing_ok=True)
    shutil.copy(f"{path}.backup", path)
    store = await SqliteStore.open(path)
    assert len(await values(store)) == 200
    await store.commit(Put("k/new", b""))
    await store.close()


async def test_a_damaged_file_without_a_backup(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(Unavailable, match="there is no backup"):
        await SqliteStore.open(tmp_path / "state.db")


async def crashed_copy(tmp_path: Path, commits: int) -> Path:
    """A state file as a crash leaves it: with its write-ahead log."""
    store = await SqliteStore.open(tmp_path / "state.db", backup=False)
    for index in range(commits):
        await store.commit(Put(f"k/{index:03}", b"%d" % index * 100))
    copy = tmp_path / "copy"
    copy.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"state.db{suffix}", copy / f"state.db{suffix}")
    await store.close()
    return copy / "state.db"


async def test_a_write_ahead_log_with_a_torn_end_is_fine(tmp_path: Path) -> None:
    path = await crashed_copy(tmp_path, 50)
    log = path.with_name("state.db-wal")
    os.truncate(log, log.stat().st_size - 100)
    store = await SqliteStore.open(path)
    assert len(await values(store)) == 49
    await store.close()


@pytest.mark.parametrize("position", [8, 40, 32 + 24 + 100, 0.3, 0.6])
async def test_a_damaged_write_ahead_log_is_refused(tmp_path: Path, position: float) -> None:
    path = await crashed_copy(tmp_path, 50)
    log = path.with_name("state.db-wal")
    data = bytearray(log.read_bytes())
    at = int(position if position >= 1 else position * len(data))
    data[at] ^= 0xFF
    log.write_bytes(data)
    with pytest.raises(Unavailable, match="write-ahead log"):
        await SqliteStore.open(path)
    assert log.read_bytes() == data


async def test_history_is_trimmed_by_count(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.db", history_limit=100)
    slow = store.watch("k", after=0)
    assert asyncio.iscoroutine(slow) is False
    for index in range(1000):
        await store.commit(Put("k", b"%d" % index))
    with pytest.raises(Unavailable, match="oldest revision that can be asked for is"):
        await anext(slow)
    await store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM history").fetchone()
    assert 100 <= count <= 300


async def test_a_slow_watcher_reads_on_from_the_disk(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.db")
    watch = store.watch("", after=0)
    for index in range(1500):
        await store.commit(Put("k", b"%d" % index))
    async with asyncio.timeout(10):
        assert [int((await anext(watch)).value or b"") for _ in range(1500)] == list(range(1500))
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_is_said_and_passes(small_disk: Path) -> None:
    path = small_disk / "state.db"
    store = await SqliteStore.open(path, backup=False)
    await store.commit(Put("first", b"1"))
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    revision = (await store.list("")).revision
    large = Put("large", os.urandom(500_000))
    results = await asyncio.gather(
        *(store.commit(Put(f"a/{index}", bytes(100)), large, Put(f"b/{index}", b"")) for index in range(20)),
        return_exceptions=True,
    )
    assert all(isinstance(result, Exhausted) for result in results)
    assert await values(store) == {"first": b"1"} and (await store.list("")).revision == revision
    ballast.unlink()
    assert await store.commit(large) == revision + 1
    await store.close()
    store = await SqliteStore.open(path, backup=False)
    assert set(await values(store)) == {"first", "large"}
    await store.close()


@pytest.fixture
def larger_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "larger"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_disk(folder: Path) -> Path:
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return ballast


async def test_commits_go_on_for_a_while_on_a_full_disk(larger_disk: Path) -> None:
    path = larger_disk / "state.db"
    store = await SqliteStore.open(path, backup=False, reserve=True)
    ballast = fill_disk(larger_disk)
    for number in range(1500):  # each twice: what is stored now, and the history
        await store.commit(Put(f"k/{number:04}", b"%d" % number * 100))
    assert len(await values(store)) == 1500
    with pytest.raises(Exhausted):
        await store.commit(Put("large", os.urandom(12_000_000)))
    for number in range(1500):
        await store.commit(Delete(f"k/{number:04}"))
    await store.commit(Put("last", b""))
    copy = larger_disk.parent / "copy"
    copy.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", copy)
    after = await SqliteStore.open(copy / "state.db", backup=False, reserve=True)  # as after a kill
    assert await values(after) == {"last": b""}
    await after.close()
    ballast.unlink()
    for number in range(600):
        await store.commit(Put("k", b"%d" % number))
    ballast = fill_disk(larger_disk)
    for number in range(300):  # it has room again
        await store.commit(Put(f"k/{number:04}", b"%d" % number * 100))
    await store.close()
    ballast.unlink()
    store = await SqliteStore.open(path, backup=False, reserve=True)
    assert len(await values(store)) == 302
    await store.close()


async def test_a_crash_with_a_reserve_loses_nothing(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.db", backup=False, reserve=True)
    copy = tmp_path / "copy"
    copy.mkdir()
    for number in range(30):
        await store.commit(Put(f"k/{number:03}", b"%d" % number * 1000))
        for suffix in ("", "-wal"):
            shutil.copy(tmp_path / f"state.db{suffix}", copy / f"state.db{suffix}")
        after = await SqliteStore.open(copy / "state.db", backup=False, reserve=number % 2 == 0)
        assert len(await values(after)) == number + 1
        await after.close()
    await store.close()


async def test_one_large_commit_does_not_take_the_others_with_it(small_disk: Path) -> None:
    store = await SqliteStore.open(small_disk / "state.db", backup=False)
    results = await asyncio.gather(
        store.commit(Put("a", b"1")),
        store.commit(Put("large", os.urandom(4 * 1024 * 1024))),
        store.commit(Put("b", b"2")),
        return_exceptions=True,
    )
    assert isinstance(results[1], Exhausted) and results[0] == 1 and results[2] == 2
    assert await values(store) == {"a": b"1", "b": b"2"}
    await store.close()


@pytest.mark.undisturbed
async def test_a_read_does_not_wait_for_a_long_write(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.db", backup=False)
    writing = asyncio.ensure_future(store.commit(*(Put(f"k/{index}", bytes(4000)) for index in range(5000))))
    await asyncio.sleep(0)
    longest = 0.0
    while not writing.done():
        before = time.perf_counter()
        assert await store.get("nothing") is None
        longest = max(longest, time.perf_counter() - before)
        await asyncio.sleep(0)
    assert longest < 0.1
    await store.close()


@pytest.mark.undisturbed
async def test_a_single_commit_is_quick(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.db", backup=False)
    times = []
    for index in range(200):
        before = time.perf_counter()
        await store.commit(Put(f"k/{index % 20}", bytes(4000)))
        times.append(time.perf_counter() - before)
    await store.close()
    assert statistics.median(times) < 0.005  # seconds; 0.3 ms on a quiet machine
