"""Uploads in the room: pieces, breaks, other digests, ages, limits."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from boxship.errors import Canceled, Exhausted
from boxship.registry import Settings
from boxship.registry.refusals import DigestInvalid, OutOfOrder, SizeInvalid, UploadBusy, UploadUnknown
from registry_kit import SOMEBODY, Bench, bench, digest_of, pieces

DATA = os.urandom(5_000_000)


@pytest.fixture
async def made(tmp_path: Path):  # type: ignore[no-untyped-def]
    async with bench(tmp_path) as one:
        yield one


async def breaking(data: bytes) -> AsyncIterator[bytes]:
    async for piece in pieces(data, 100_000):
        yield piece
    raise Canceled("the client is gone")


async def append(made: Bench, upload: str, data: bytes, start: int | None = None, length: int | None = None) -> int:
    return await made.registry.pushing.append("a", upload, pieces(data, 100_000), start, length)


async def test_pieces_and_breaks(made: Bench) -> None:
    pushing = made.registry.pushing
    upload = await pushing.start_upload("a")
    assert await append(made, upload, DATA[:10], 0, 10) == 10
    with pytest.raises(Canceled):
        await pushing.append("a", upload, breaking(DATA[10:2_345_678]), None, None)
    assert pushing.uploads.size("a", upload) == 2_345_678
    with pytest.raises(OutOfOrder) as refused:
        await append(made, upload, DATA, 5)
    assert refused.value.size == 2_345_678
    with pytest.raises(Canceled):
        await pushing.finish_upload("a", upload, digest_of(DATA), breaking(DATA[2_345_678:4_000_000]), SOMEBODY)
    await pushing.finish_upload("a", upload, digest_of(DATA), pieces(DATA[4_000_000:]), SOMEBODY)
    assert made.registry.reading.blob("a", digest_of(DATA)) == len(DATA)
    assert len(pushing.uploads) == 0 and not made.content.partials()


async def test_more_than_was_said_is_refused(made: Bench) -> None:
    upload = await made.registry.pushing.start_upload("a")
    with pytest.raises(SizeInvalid):
        await append(made, upload, DATA[:100], 0, 50)
    size = made.registry.pushing.uploads.size("a", upload)
    assert size == 0  # which of them belong there is not known
    with pytest.raises(SizeInvalid):
        await append(made, upload, DATA[:100], 0, 150)
    assert made.registry.pushing.uploads.size("a", upload) == 100


async def test_another_algorithm_at_the_end(made: Bench) -> None:
    upload = await made.registry.pushing.start_upload("a", "sha256")
    await append(made, upload, DATA)
    digest = digest_of(DATA, "sha512")
    await made.registry.pushing.finish_upload("a", upload, digest, pieces(b""), SOMEBODY)
    assert await made.blobs() == {digest}


async def test_a_wrong_digest_ends_the_upload(made: Bench) -> None:
    upload = await made.registry.pushing.start_upload("a")
    with pytest.raises(DigestInvalid):
        await made.registry.pushing.finish_upload("a", upload, digest_of(b"other"), pieces(DATA), SOMEBODY)
    with pytest.raises(UploadUnknown):
        await append(made, upload, b"x")
    assert await made.blobs() == set() and not made.content.partials()
    for wrong in ("sha1", "", "sha256 "):
        with pytest.raises(DigestInvalid):
            await made.registry.pushing.start_upload("a", wrong)


async def held(made: Bench, going: asyncio.Event) -> "tuple[str, asyncio.Future[int]]":
    """An upload, and a request to it that ends when it is told to."""
    upload = await made.registry.pushing.start_upload("a")
    begun = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        begun.set()
        await going.wait()
        yield b"two"

    first = asyncio.ensure_future(made.registry.pushing.append("a", upload, slow(), None, None))
    await begun.wait()
    return upload, first


async def test_one_at_a_time(tmp_path: Path) -> None:
    async with bench(tmp_path, settings=Settings(busy_seconds=0.01)) as made:
        going = asyncio.Event()
        upload, first = await held(made, going)
        with pytest.raises(UploadBusy):
            await append(made, upload, b"x")
        with pytest.raises(UploadBusy):
            await made.registry.pushing.cancel_upload("a", upload)
        going.set()
        assert await first == 6
        await made.registry.pushing.cancel_upload("a", upload)
        with pytest.raises(UploadUnknown):
            await made.registry.pushing.cancel_upload("a", upload)


async def test_a_request_waits_for_the_end_of_the_one_before(tmp_path: Path) -> None:
    async with bench(tmp_path, settings=Settings(busy_seconds=30)) as made:
        going = asyncio.Event()
        upload, first = await held(made, going)
        second = asyncio.ensure_future(append(made, upload, b"x"))
        third = asyncio.ensure_future(made.registry.pushing.cancel_upload("a", upload))
        going.set()
        assert await first == 6
        assert await second == 7
        await third
        with pytest.raises(UploadUnknown):
            await append(made, upload, b"y")


async def test_a_cancelled_request_leaves_the_upload_usable(made: Bench) -> None:
    upload = await made.registry.pushing.start_upload("a")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield DATA[:1_000_000]
            await asyncio.sleep(0)

    for _ in range(10):
        task = asyncio.ensure_future(made.registry.pushing.append("a", upload, endless(), None, None))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    size = made.registry.pushing.uploads.size("a", upload)
    assert await append(made, upload, b"x", size) == size + 1


async def test_limits(tmp_path: Path) -> None:
    async with bench(tmp_path, settings=Settings(upload_limit=2, blob_bytes=1000)) as made:
        first = await made.registry.pushing.start_upload("a")
        await made.registry.pushing.start_upload("a")
        with pytest.raises(Exhausted):
            await made.registry.pushing.start_upload("b")
        await append(made, first, DATA[:600])
        with pytest.raises(Exhausted):
            await append(made, first, DATA[:600])
        with pytest.raises(Exhausted):
            await made.push_blob("a", DATA[:1001])
        await made.push_blob("a", DATA[:1000])


async def test_old_uploads_are_forgotten_with_their_files(made: Bench) -> None:
    upload = await made.registry.pushing.start_upload("a")
    await append(made, upload, b"abc")
    await made.content.drop_partial(made.content.partials()[0].name)
    with pytest.raises(UploadUnknown):
        await append(made, upload, b"def")
    other = await made.registry.pushing.start_upload("a")
    await append(made, other, b"abc")
    await made.content.drop_partial(made.content.partials()[0].name)
    await made.registry.expire()
    with pytest.raises(UploadUnknown):
        made.registry.pushing.uploads.size("a", other)
