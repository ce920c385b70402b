"""What only the etcd store has: several on one etcd, keys that etcdctl shows, limits, history of etcd's own, TLS."""

import asyncio
import datetime
import os
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from etcd_kit import Etcd, etcd_program, eventually, running_etcd
from hypothesis import given
from hypothesis import strategies as some

from boxship.errors import Conflict, Exhausted, Invalid, Unavailable
from boxship.pki import authority
from boxship.pki.names import Subject
from boxship.store import Change, Compacted, Delete, Entry, Put
from boxship.store.etcd import messages
from boxship.store.etcd.connection import parse_endpoints
from boxship.store.etcd.store import EtcdStore
from boxship.store.files import Files


@pytest.fixture
async def stores(session_etcd: Etcd) -> AsyncIterator[list[EtcdStore]]:
    """Three on one etcd, as three API servers have it."""
    session_etcd.empty()
    opened = [await EtcdStore.open(session_etcd.url) for _ in range(3)]
    yield opened
    for store in opened:
        await store.close()


async def take(watch: AsyncIterator[Change], count: int) -> list[Change]:
    async with asyncio.timeout(10):
        return [await anext(watch) for _ in range(count)]


async def test_what_one_has_written_all_read_at_once(stores: list[EtcdStore]) -> None:
    for index in range(60):
        writer, reader = stores[index % 3], stores[(index + 1) % 3]
        revision = await writer.commit(Put("k", b"%d" % index))
        entry = await reader.get("k")
        assert entry is not None and entry.value == b"%d" % index and entry.modified == revision
        assert (await writer.get("k", fresh=False)) == entry  # one's own commit is seen without a question


async def test_one_of_many_wins_and_all_see_the_same(stores: list[EtcdStore]) -> None:
    start = await stores[0].revision()

    async def count(store: EtcdStore, turns: int) -> None:
        while turns:
            entry = await store.get("count", fresh=False)
            try:
                value, expected = (int(entry.value), entry.modified) if entry else (0, 0)
                await store.commit(Put("count", b"%d" % (value + 1), expected=expected))
            except Conflict:
                await store.get("count")
                continue
            turns -= 1

    await asyncio.gather(*(count(store, 20) for store in stores for _ in range(2)))
    entry = await stores[0].get("count")
    assert entry is not None and entry.value == b"120"
    seen = [await take(store.watch("", after=start), 120) for store in stores]
    assert seen[0] == seen[1] == seen[2]
    assert [int(change.value or b"") for change in seen[0]] == list(range(1, 121))


async def test_keys_are_as_given_and_the_own_ones_are_hidden(session_etcd: Etcd, stores: list[EtcdStore]) -> None:
    store = stores[0]
    await store.commit(Put("/registry/pods/default/web", b'{"kind":"Pod"}'), Put("/registry/pods/default/é", b"x"))
    found = await asyncio.to_thread(session_etcd.control, "get", "--prefix", "/registry")
    assert found.splitlines()[:2] == ["/registry/pods/default/web", '{"kind":"Pod"}']
    names = [entry.key for entry in (await store.list("")).entries]
    assert names == ["/registry/pods/default/web", "/registry/pods/default/é"]
    assert (await stores[1].list("", at=await store.revision())).entries == (await store.list("")).entries
    with pytest.raises(Invalid):
        await store.commit(Put("/boxship/store/clock", b""))
    await asyncio.to_thread(session_etcd.control, "put", "/registry/by/hand", "1")
    entry = await store.get("/registry/by/hand")
    assert entry is not None and entry.value == b"1"


async def test_what_others_keep_in_etcd(session_etcd: Etcd, stores: list[EtcdStore]) -> None:
    def put(key: str, value: bytes) -> None:
        command = [etcd_program("etcdctl"), "--endpoints", session_etcd.url, "put", key]
        subprocess.run(command, input=value, check=True, capture_output=True, env={**os.environ, "ETCDCTL_API": "3"})

    await asyncio.to_thread(put, "\udcff\udcfe", b"no text")  # surrogates: bytes that are no text
    await asyncio.to_thread(put, "/boxship/store/clock", b"soon")
    assert (await stores[0].list("")).entries == ()
    with pytest.raises(Unavailable, match="somebody has written"):
        await stores[0].revision_at(time.time())
    await (await EtcdStore.open(session_etcd.url)).close()
    await asyncio.to_thread(put, "/registry/pods/default/web", b"k8s\0\n\x09")
    with pytest.raises(Unavailable, match="of another Kubernetes"):
        await EtcdStore.open(session_etcd.url)
    await stores[0].commit(Delete("/registry/pods/default/web"))


async def test_what_etcd_cannot_take_is_refused(stores: list[EtcdStore]) -> None:
    store = stores[0]
    await store.commit(*(Put(f"k/{index}", b"", expected=0) for index in range(127)))
    with pytest.raises(Exhausted, match="at most 127"):
        await store.commit(*(Put(f"l/{index}", b"") for index in range(128)))
    with pytest.raises(Exhausted, match="too large"):
        await store.commit(Put("large", bytes(2 << 20)))
    await store.commit(Put("large", bytes(1_400_000)))
    assert len((await store.list("")).entries) == 128


async def test_history_beyond_memory_comes_from_etcd(stores: list[EtcdStore], session_etcd: Etcd) -> None:
    store = stores[0]
    start = await store.revision()
    for index in range(40):
        await store.commit(Put(f"k/{index % 10}", b"%d" % index), Put("twin", b"%d" % index))
    await store.commit(Delete("k/3"))
    moment = await store.list("")
    for index in range(3):
        await store.commit(Put(f"k/{index}", b"late"))
    changes = await take(store.watch("", after=start), 84)
    async with asyncio.timeout(20):
        late = await EtcdStore.open(session_etcd.url)  # it has no commit in memory
        assert [change async for change in late.past("", after=start, until=await late.revision())] == changes
        assert await take(late.watch("k/", after=start + 20), 24) == [
            change for change in changes if change.revision > start + 20 and change.key != "twin"
        ]
        assert await late.list("", at=moment.revision) == moment
        assert await late.list("k/", at=moment.revision, after="k/1", limit=3) == await store.list(
            "k/", at=moment.revision, after="k/1", limit=3
        )
        await late.compact(moment.revision)
        assert await late.list("", at=moment.revision) == moment
        third = await EtcdStore.open(session_etcd.url)
        with pytest.raises(Compacted) as caught:
            await third.list("", at=moment.revision - 2)
        assert caught.value.oldest == moment.revision - 1
        with pytest.raises(Compacted) as caught:
            await anext(third.watch("", after=moment.revision - 2))
        assert caught.value.oldest == moment.revision - 1
        with pytest.raises(Compacted):
            await third.revision_at(1.0)
        await late.close()
        await third.close()


async def test_large_lists_come_whole(session_etcd: Etcd, stores: list[EtcdStore]) -> None:
    for start in range(0, 1200, 100):
        await stores[0].commit(*(Put(f"many/{index:05}", b"%d" % index * 50) for index in range(start, start + 100)))
    snapshot = await stores[0].list("many/")
    assert len(snapshot.entries) == 1200
    late = await EtcdStore.open(session_etcd.url)
    assert (await late.list("many/")).entries == snapshot.entries
    await late.commit(Delete("many/00500"))
    other = await EtcdStore.open(session_etcd.url)
    assert await other.list("many/", at=snapshot.revision) == snapshot
    page = await other.list("many/", at=snapshot.revision, limit=600)
    assert page.entries == snapshot.entries[:600] and page.remaining == 600
    await late.close()
    await other.close()


async def test_history_that_etcd_sends_in_fragments(session_etcd: Etcd, stores: list[EtcdStore]) -> None:
    """More than a message holds: a commit of several keys may then be cut in the middle."""
    start = await stores[0].revision()
    for index in range(12):
        await stores[0].commit(Put("k", b"%d" % index), *(Put(f"{part}", os.urandom(400_000)) for part in range(3)))
    changes = await take(stores[1].watch("", after=start), 48)
    late = await EtcdStore.open(session_etcd.url)
    assert await take(late.watch("", after=start), 48) == changes
    assert [change.previous for change in changes[4:]] == [
        Entry(change.key, change.value or b"", start + 1, change.revision) for change in changes[:-4]
    ]
    await late.close()
    for part in range(3):
        await stores[0].commit(Delete(f"{part}"))


async def test_many_fresh_reads_share_a_question(stores: list[EtcdStore], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    store = stores[0]
    ask = store._connection.ask

    async def counted(*arguments: object) -> object:
        nonlocal asked
        asked += 1
        return await ask(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store._connection, "ask", counted)
    await asyncio.gather(*(store.get("k") for _ in range(200)))
    assert asked <= 2


async def test_a_cancelled_reader_takes_nobody_with_it(stores: list[EtcdStore]) -> None:
    first = asyncio.ensure_future(stores[0].get("k"))
    second = asyncio.ensure_future(stores[0].get("k"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is None


async def test_history_by_age(session_etcd: Etcd) -> None:
    clock = [1000.0]

    async def opened() -> EtcdStore:
        return await EtcdStore.open(session_etcd.url, history_seconds=3600, monotonic=lambda: clock[0])

    session_etcd.empty()
    first, second = await opened(), await opened()
    for store in (first, second):  # driven by hand, not by time
        store._tasks.pop().cancel()
    keepers = [store.keeper for store in (first, second)]
    assert keepers[0] is not None and keepers[1] is not None
    start = await first.revision()
    for minute in range(150):
        clock[0] += 60
        await first.commit(Put("k", b"%d" % minute))
        for keeper in keepers:
            await keeper.step()
    at = await first.revision()
    with pytest.raises(Compacted) as caught:
        await first.list("", at=start + 60)
    oldest = caught.value.oldest
    entry = (await first.list("", at=oldest)).entries[0]
    assert 80 <= int(entry.value) <= 90  # an hour and one mark before minute 149
    assert await first.list("", at=at) == await second.list("", at=at)
    marks = [key for key in first._mirror.own if "/marks/" in key]
    assert len(marks) < 60
    clock[0] = 5.0  # another machine's clock, which knows nothing of what passed
    third = await opened()
    third._tasks.pop().cancel()
    assert third.keeper is not None
    await third.keeper.step()
    await third.keeper.step()
    assert (await third.list("", at=oldest)).entries == (entry,)
    for store in (first, second, third):
        await store.close()


async def test_the_time_of_a_commit_is_found_though_the_clock_jumped(session_etcd: Etcd) -> None:
    session_etcd.empty()
    clock = [5000.0]
    store = await EtcdStore.open(session_etcd.url, wall=lambda: clock[0])
    base = await store.commit(Put("k", b""))
    await store.commit(Put("k", b""))
    await store.compact(base + 1)
    base += 1
    for index in range(30):
        clock[0] += 1000.0 if index == 10 else -990.0 if index == 20 else 1.0
        await store.commit(Put("k", b"%d" % index))
    assert await store.revision_at(5005.5) == base + 5
    found = await store.revision_at(clock[0])
    assert found >= base + 10
    await store.close()


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The folders of a server's certificate, a client's, and of a client's whom nobody here trusts."""
    now = datetime.datetime.now(datetime.UTC)
    made = []
    for name in ("ours", "theirs"):
        folder = tmp_path_factory.mktemp(name)
        authority.create(folder, name, now)
        mine = authority.open_authority(folder)
        made.append(mine.issue_server(Subject("etcd", ("localhost",), ("127.0.0.1",)), now))
        made.append(mine.issue_client(Subject("api"), now))
    return made[0], made[1], made[3]


def files(folder: Path, trusted: Path) -> Files:
    return Files(trusted / "ca.pem", folder / "cert.pem", folder / "key.pem")


async def test_tls_with_a_clients_certificate(tmp_path: Path, papers: tuple[Path, Path, Path]) -> None:
    server, client, stranger = papers
    options = [
        *("--cert-file", str(server / "cert.pem"), "--key-file", str(server / "key.pem")),
        *("--client-cert-auth", "--trusted-ca-file", str(server / "ca.pem"), "--unsafe-no-fsync"),
    ]
    etcd = Etcd(tmp_path, *options, scheme="https")
    etcd.start()
    try:
        store = await EtcdStore.open(etcd.url, files=files(client, server))
        await store.commit(Put("k", b"1"))
        await store.close()
        store = await EtcdStore.open(etcd.url.replace("127.0.0.1", "localhost"), files=files(client, server))
        entry = await store.get("k")
        assert entry is not None and entry.value == b"1"
        await store.close()
        for wrong in (files(stranger, server), files(client, stranger), Files(server / "ca.pem"), Files()):
            with pytest.raises(Unavailable):
                await EtcdStore.open(etcd.url, files=wrong)
        with pytest.raises(Unavailable, match="No such file"):
            await EtcdStore.open(etcd.url, files=Files(tmp_path / "nothing.pem"))
    finally:
        etcd.stop()


async def test_etcd_without_room_says_so(tmp_path: Path) -> None:
    with running_etcd(tmp_path, "--quota-backend-bytes", "4000000", "--unsafe-no-fsync") as etcd:
        store = await EtcdStore.open(etcd.url)
        with pytest.raises(Exhausted, match="space"):
            for index in range(50):
                await store.commit(Put(f"k/{index}", os.urandom(300_000)))
        assert (await store.get("k/0")) is not None
        await store.close()


@pytest.mark.parametrize(
    "text", ["", ",", "http://", "ftp://a:1", "http://a:x", "http://a:1/path", "http://a,https://b"]
)
def test_bad_endpoints_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_endpoints(text)


def test_good_endpoints() -> None:
    assert parse_endpoints("http://a:1, http://[::1]:2/") == ("http://a:1", "http://[::1]:2")


@given(some.binary(max_size=60))
def test_answers_that_make_no_sense_are_refused(data: bytes) -> None:
    for read in (messages.read_range, messages.read_transaction, messages.read_watched, messages.read_status):
        try:
            read(data)
        except ValueError:
            continue


async def test_a_commit_waits_for_no_copy_longer_than_a_moment(session_etcd: Etcd) -> None:
    session_etcd.empty()
    store = await EtcdStore.open(session_etcd.url)
    store._tasks[0].cancel()  # the watch
    before = time.monotonic()
    revision = await store.commit(Put("k", b"1"))
    assert time.monotonic() - before < 5
    assert await store.revision() == revision
    await eventually(lambda: store.revision())
    await store.close()
