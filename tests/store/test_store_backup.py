"""Backups of every kind into every kind; damaged ones; restores that are cut off."""

import asyncio
import gzip
import json
import os
from pathlib import Path

import pytest
from etcd_kit import Etcd
from hypothesis import given, settings
from hypothesis import strategies as some

from boxship.errors import Exists, Invalid, Unavailable
from boxship.store import Delete, Put, Store
from boxship.store.backup import BEYOND, back_up_to, check
from boxship.store.etcd.store import EtcdStore
from boxship.store.memory import MemoryStore
from boxship.store.opening import open_store, restore_store
from boxship.store.sqlite import SqliteStore


async def values(store: Store) -> dict[str, bytes]:
    return {entry.key: entry.value for entry in (await store.list("")).entries}


async def fill(store: Store, count: int = 1234) -> None:
    for start in range(0, count, 100):
        await store.commit(*(Put(f"/k/{index:05}", b'{"n":%d}' % index) for index in range(start, start + 100)))
    await store.commit(Put("/binary", bytes(range(256))), Put("/empty", b""), Put("/ü", "ü\n\\\u2028".encode()))
    await store.commit(Put("/large", os.urandom(1_200_000)), Delete("/k/00007"))


async def test_a_backup_fits_every_kind_of_store(store: Store, tmp_path: Path, session_etcd: Etcd) -> None:
    await fill(store)
    moment = await values(store)
    revision = await store.revision()
    path = tmp_path / "backup"

    async def change() -> None:
        for index in range(100):
            await store.commit(Put("/k/00001", b"later"), Put(f"/a{index}", b""), Delete(f"/k/{index + 10:05}"))

    await asyncio.gather(back_up_to(store, path), change())
    head, count = check(path)
    assert head.revision >= revision and path.stat().st_mode & 0o777 == 0o600
    lines = gzip.decompress(path.read_bytes()).splitlines()
    assert len(lines) == count + 2 and json.loads(lines[1])["key"] < json.loads(lines[2])["key"]
    there = {entry.key: entry.value for entry in (await store.list("", at=head.revision)).entries}
    if head.revision == revision:
        assert there == moment
    await store.close()

    assert await restore_store(path, f"sqlite:{tmp_path / 'new.db'}") == count
    assert sorted(file.name for file in tmp_path.iterdir() if "new" in file.name) == ["new.db"]
    restored = await open_store(f"sqlite:{tmp_path / 'new.db'}", history_seconds=3600)
    assert await values(restored) == there
    assert await restored.revision() > head.revision + BEYOND
    await restored.commit(Put("/new", b""))
    await restored.close()
    with pytest.raises(Exists, match="move it away"):
        await restore_store(path, f"sqlite:{tmp_path / 'new.db'}")

    await asyncio.to_thread(session_etcd.empty)
    assert await restore_store(path, f"etcd:{session_etcd.url}") == count
    restored = await open_store(f"etcd:{session_etcd.url}")
    assert await values(restored) == there
    await restored.close()
    with pytest.raises(Exists, match="not empty"):
        await restore_store(path, f"etcd:{session_etcd.url}")
    with pytest.raises(Invalid):
        await restore_store(path, "memory:")


async def test_an_empty_store(tmp_path: Path) -> None:
    await back_up_to(MemoryStore(), tmp_path / "backup")
    assert check(tmp_path / "backup")[1] == 0
    assert await restore_store(tmp_path / "backup", f"sqlite:{tmp_path / 'state.db'}") == 0


async def made(folder: Path) -> bytes:
    store = MemoryStore()
    await store.commit(*(Put(f"/k/{index}", b"%d" % index * 20) for index in range(30)))
    await back_up_to(store, folder / "backup")
    return (folder / "backup").read_bytes()


def test_damage_of_any_kind_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    data = asyncio.run(made(tmp_path))
    path = tmp_path / "damaged"

    def refused(damaged: bytes) -> None:
        path.write_bytes(damaged)
        with pytest.raises(Invalid):
            asyncio.run(restore_store(path, f"sqlite:{tmp_path / 'state.db'}"))
        assert not list(tmp_path.glob("state.db*"))

    @settings(max_examples=60, deadline=None)
    @given(some.integers(0, len(data) - 1), some.integers(1, 255))
    def flip(at: int, by: int) -> None:
        damaged = data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]
        if 2 < at < 10:  # a flag, the time and the system in gzip's own head, which mean nothing
            return
        refused(damaged)

    @settings(max_examples=30, deadline=None)
    @given(some.integers(0, len(data) - 1))
    def cut(at: int) -> None:
        refused(data[:at])

    flip()
    cut()
    lines = gzip.decompress(data).splitlines(keepends=True)
    for wrong in (
        [lines[0], *lines[2:]],
        [lines[0], lines[2], lines[1], *lines[3:]],
        lines[:-1],
        [*lines, lines[-1]],
        [*lines, lines[5]],
        lines[1:],
        [b'{"format":"other","version":1,"revision":1,"time":1}\n', *lines[1:]],
        [lines[0].replace(b'"version":1', b'"version":9'), *lines[1:]],
        [],
    ):
        refused(gzip.compress(b"".join(wrong)))
    refused(b"")
    refused(data + data)
    with pytest.raises(Invalid, match="No such file"):
        asyncio.run(restore_store(tmp_path / "nothing", f"sqlite:{tmp_path / 'state.db'}"))


async def test_a_restore_that_was_cut_off_is_done_again(
    tmp_path: Path, session_etcd: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MemoryStore()
    await fill(source, 500)
    path = tmp_path / "backup"
    await back_up_to(source, path)
    await asyncio.to_thread(session_etcd.empty)
    real = EtcdStore.commit
    left = 3

    async def broken(self: EtcdStore, *operations: Put) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise Unavailable("gone")
        return await real(self, *operations)

    monkeypatch.setattr(EtcdStore, "commit", broken)
    with pytest.raises(Unavailable, match="gone"):
        await restore_store(path, f"etcd:{session_etcd.url}")
    monkeypatch.setattr(EtcdStore, "commit", real)
    with pytest.raises(Unavailable, match="not finished"):
        await open_store(f"etcd:{session_etcd.url}")
    await restore_store(path, f"etcd:{session_etcd.url}")
    store = await open_store(f"etcd:{session_etcd.url}")
    assert await values(store) == await values(source)
    await store.close()

    real_sqlite = SqliteStore.commit
    left = 3

    async def broken_sqlite(self: SqliteStore, *operations: Put) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise Unavailable("gone")
        return await real_sqlite(self, *operations)

    monkeypatch.setattr(SqliteStore, "commit", broken_sqlite)
    with pytest.raises(Unavailable, match="gone"):
        await restore_store(path, f"sqlite:{tmp_path / 'state.db'}")
    assert not list(tmp_path.glob("state.db*"))


async def test_a_backup_that_cannot_be_written_leaves_the_last_one(tmp_path: Path) -> None:
    store = MemoryStore()
    await store.commit(Put("k", b"1"))
    path = tmp_path / "backup"
    await back_up_to(store, path)
    before = path.read_bytes()
    (tmp_path / "backup.new").mkdir()
    with pytest.raises(Unavailable, match="cannot write"):
        await back_up_to(store, path)
    assert path.read_bytes() == before
    with pytest.raises(Unavailable, match="cannot write"):
        await back_up_to(store, tmp_path / "nowhere" / "backup")


async def test_status_and_space_given_back(store: Store) -> None:
    for index in range(30):
        await store.commit(Put(f"k/{index % 3}", bytes(200_000)), Put("other", b"%d" % index))
    last = await store.revision()
    before = await store.status()
    assert (before.entries, before.content, before.revision) == (4, 600_002, last)
    await store.compact(last)
    await store.shrink()
    after = await store.status()
    assert after.oldest == last - 1 and after.entries == 4
    assert after.size < max(before.size / 2, 1)
    for member in after.members:
        assert member.leader and not member.errors and member.version.startswith("3.")
    assert await store.commit(Put("more", b"")) == last + 1


async def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "state.db", tmp_path):
        with pytest.raises(Unavailable, match="cannot open"):
            await open_store(f"sqlite:{place}")


@pytest.mark.parametrize("text", ["", "sqlite", "sqlite:", "etcd:", "memory:x", "redis:x", "etcd:ftp://x"])
async def test_names_of_no_store(text: str) -> None:
    with pytest.raises(Invalid):
        await open_store(text)
