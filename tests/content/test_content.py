"""Blobs: verified, durable, never half visible."""

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from boxship.content import Content, References
from boxship.errors import Conflict, Exhausted, Internal, Invalid, NotFound
from boxship.spec import digest as digests
from boxship.store import Put
from boxship.store.memory import MemoryStore


@pytest.fixture
async def content(tmp_path: Path) -> Content:
    made = Content(tmp_path / "content", MemoryStore())
    await made.recover()
    return made


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


def half_made(content: Content) -> list[Path]:
    return list((content.root / "ingest").iterdir())


async def test_ingest_and_read(content: Content) -> None:
    digest, size = await content.ingest(pieces(b"ab", b"", b"c"))
    assert (digest, size) == (digests.of_bytes(b"abc"), 3)
    assert await content.read(digest, 3) == b"abc" and content.size(digest) == 3
    assert content.path(digest) == content.root / "blobs/sha256" / digests.encoded(digest)
    assert content.path(digest).stat().st_mode & 0o777 == 0o400
    assert await content.list() == (digest,)
    assert await content.put(b"abc") == digest and await content.list() == (digest,)
    assert await content.usage() == content.path(digest).stat().st_blocks * 512
    await content.delete(digest)
    await content.delete(digest)
    assert not content.exists(digest) and await content.list() == ()
    with pytest.raises(NotFound):
        content.path(digest)


async def test_large_blobs_come_whole(content: Content) -> None:
    data = os.urandom(700_000)
    digest, size = await content.ingest(pieces(*[data] * 7), expected=digests.of_bytes(data * 7), size=4_900_000)
    assert content.path(digest).read_bytes() == data * 7 and size == 4_900_000


async def test_what_is_not_expected_is_refused(content: Content) -> None:
    other = digests.of_bytes(b"other")
    for options in ({"expected": other}, {"size": 2}, {"size": 4}):
        with pytest.raises(Invalid, match="cannot store blob"):
            await content.ingest(pieces(b"abc"), **options)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="more than 10 bytes"):
        await content.ingest(pieces(*[bytes(1024 * 1024)] * 9), size=10)
    with pytest.raises(Invalid):
        await content.ingest(pieces(b"abc"), expected="sha256:../../x")
    assert await content.list() == () and half_made(content) == []


async def test_sha512_is_kept_beside_sha256(content: Content) -> None:
    expected = "sha512:" + hashlib.sha512(b"abc").hexdigest()
    assert await content.ingest(pieces(b"abc"), expected=expected) == (expected, 3)
    assert content.path(expected) == content.root / "blobs/sha512" / digests.encoded(expected)
    assert await content.read(expected, 3) == b"abc"
    ingest = content.begin(algorithm="sha512")
    ingest.write(b"abc")
    assert ingest.finish() == expected
    assert await content.list() == (expected,) and half_made(content) == []
    await content.delete(expected)
    assert not content.exists(expected)
    with pytest.raises(Invalid, match="only sha256 and sha512"):
        content.path("sha384:" + "a" * 96)
    with pytest.raises(Invalid, match="only sha256 and sha512"):
        content.begin(algorithm="md5")


async def test_a_named_ingest_goes_on_where_it_stopped(content: Content) -> None:
    ingest = content.begin("upload-1")
    ingest.write(b"abc")
    ingest.pause()
    ingest.pause()
    ingest.abandon()
    [partial] = content.partials()
    assert (partial.name, partial.size) == ("upload-1", 3)
    ingest = content.begin("upload-1")  # the hash is still known
    assert ingest.size == 3
    ingest.write(b"def")
    ingest.pause()
    again = Content(content.root, MemoryStore())  # after a restart it is made again from the file
    await again.recover()
    ingest = again.begin("upload-1")
    assert ingest.size == 6
    ingest.write(b"ghi")
    assert ingest.finish(digests.of_bytes(b"abcdefghi"), 9) == digests.of_bytes(b"abcdefghi")
    assert again.partials() == () and half_made(again) == []
    assert again.begin("upload-1").size == 0


async def test_a_named_ingest_has_one_user(content: Content) -> None:
    ingest = content.begin("one")
    with pytest.raises(Conflict):
        content.begin("one")
    with pytest.raises(Conflict):
        await content.drop_partial("one")
    with pytest.raises(Invalid):
        ingest.finish("sha256:" + "0" * 64)
    assert content.partials() == ()
    ingest = content.begin("one")
    ingest.write(b"x")
    ingest.pause()
    await content.drop_partial("one")
    assert content.partials() == ()
    with pytest.raises(NotFound):
        await content.drop_partial("one")
    for name in ("../x", "a/b", ".", "..", "a" * 129, "ä"):
        with pytest.raises(Invalid):
            content.begin(name)


async def test_old_partials_go(content: Content) -> None:
    for name in ("old", "new", "open"):
        ingest = content.begin(name)
        ingest.write(b"x")
        if name != "open":
            ingest.pause()
    for name in ("old", "open"):
        os.utime(content.root / "partials" / name, (1, 1))
    await content.drop_old_partials()
    assert [partial.name for partial in content.partials()] == ["new", "open"]
    ingest.abandon()
    os.utime(content.root / "partials" / "new", (1, 1))
    await Content(content.root, MemoryStore()).recover()
    assert content.partials() == ()


async def test_a_paused_ingest_changed_behind_our_back_is_hashed_again(content: Content) -> None:
    ingest = content.begin("one")
    ingest.write(b"abc")
    ingest.pause()
    (content.root / "partials" / "one").write_bytes(b"abcd")
    ingest = content.begin("one")
    assert ingest.size == 4 and ingest.digest() == digests.of_bytes(b"abcd")
    ingest.abandon()


async def test_a_broken_or_cancelled_source_leaves_nothing(content: Content) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(3 * 1024 * 1024)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await content.ingest(broken())
    waiting = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(3 * 1024 * 1024)
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(content.ingest(slow()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await content.list() == () and half_made(content) == []


async def test_recover_removes_what_is_half_made(content: Content) -> None:
    ingest = content.begin()
    ingest.write(b"half")
    digest = await content.put(b"whole")
    again = Content(content.root, MemoryStore())
    await again.recover()
    assert half_made(again) == [] and await again.list() == (digest,)
    ingest.abandon()


async def test_damage_on_the_disk_is_noticed(content: Content) -> None:
    digest = await content.put(b"good")
    content.path(digest).chmod(0o600)
    content.path(digest).write_bytes(b"evil")
    with pytest.raises(Internal, match="damaged"):
        await content.read(digest, 100)
    with pytest.raises(Invalid, match="more than 3 bytes"):
        await content.read(digest, 3)


async def test_a_full_disk(content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(Exhausted):
            await content.put(b"abc")
        with pytest.raises(Exhausted):
            await content.ingest(pieces(b"abc"))
    paused = content.begin("one")
    paused.write(b"ab")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(Exhausted):
            paused.write(b"c")
    paused.write(b"c")  # there is room again
    assert paused.finish() == digests.of_bytes(b"abc")
    await content.delete(digests.of_bytes(b"abc"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Exhausted):
            await content.put(b"abc")
    assert await content.list() == () and half_made(content) == []
    await content.put(b"abc")


async def test_many_at_the_same_time(content: Content) -> None:
    found = await asyncio.gather(*(content.ingest(pieces(b"%d" % (index % 5))) for index in range(50)))
    assert {digest for digest, _ in found} == set(await content.list()) and len(await content.list()) == 5
    assert half_made(content) == []


async def test_references_change_together(content: Content) -> None:
    store = MemoryStore()
    references = References(store)
    await store.commit(Put("other/x", b""))
    await references.change({"references/a": b"1", "images/b": b"2"})
    assert await references.load() == {"references/a": b"1", "images/b": b"2"}
    await references.change({"references/a": None, "images/b": b"3"})
    assert await references.load() == {"images/b": b"3"}


@settings(max_examples=30, deadline=None)
@given(data=some.lists(some.binary(max_size=50), max_size=5))
def test_any_content_comes_back(data: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    async def run() -> None:
        content = Content(tmp_path_factory.mktemp("content"), MemoryStore())
        await content.recover()
        digest, size = await content.ingest(pieces(*data))
        assert (digest, size) == (digests.of_bytes(b"".join(data)), len(b"".join(data)))
        assert await content.read(digest, size) == b"".join(data)

    asyncio.run(run())


async def test_ends_of_an_ingest_wait_for_the_thread_that_works_on_it(content: Content) -> None:
    """Whoever is cancelled ends its ingest from another thread; a descriptor closed twice would be somebody else's."""
    slow = threading.Event()

    ingest = content.begin("slow")
    taken = threading.Event()
    original = ingest._settle

    def settle(digest: str) -> None:
        taken.set()
        slow.wait(5)
        original(digest)

    ingest._settle = settle  # type: ignore[method-assign]
    ingest.write(b"data")
    finishing = asyncio.ensure_future(asyncio.to_thread(ingest.finish))
    await asyncio.to_thread(taken.wait, 5)
    pausing = asyncio.ensure_future(asyncio.to_thread(ingest.pause))
    abandoning = asyncio.ensure_future(asyncio.to_thread(ingest.abandon))
    done, _ = await asyncio.wait([pausing, abandoning], timeout=0.1)
    assert not done
    slow.set()
    digest = await finishing
    await asyncio.gather(pausing, abandoning)
    assert content.exists(digest) and content.partials() == ()
