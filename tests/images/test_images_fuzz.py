"""Archives with random damage, and streams that end or change anywhere: refused or loaded whole, never half."""

import asyncio
import gzip
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as some
from images_kit import Layout, Room, chunks, layer, simple

from boxship.errors import BoxshipError, Invalid
from boxship.images.documents import nanoseconds, parse_config, timestamp
from boxship.images.streams import Inflated
from boxship.store.memory import MemoryStore


def oci() -> bytes:
    layout = Layout()
    layout.add(layout.index(layout.image([layer("base"), layer("top")])), name="docker.io/library/app:1")
    return layout.tar()


ARCHIVES = [simple()[0], oci(), gzip.compress(simple()[0])]


async def load_damaged(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        room = await Room(Path(folder), MemoryStore()).open()
        try:
            async for _ in room.images.load(chunks(data, 3000)):
                pass
        except BoxshipError as error:
            assert str(error)
        await room.garbage.settle()
        for image in await room.images.list():
            assert all(room.layers.has_layer(item.chain_id) for item in image.layers)
        if not await room.images.list():
            assert await room.content.list() == () and room.layers.layers() == []
        assert not list((room.root / "content/ingest").iterdir())
        await room.close()


@settings(max_examples=60, deadline=None)
@given(some.sampled_from(ARCHIVES), some.floats(0, 1), some.binary(max_size=20), some.booleans())
def test_damaged_archives(archive: bytes, place: float, damage: bytes, cut: bool) -> None:
    position = int(place * len(archive))
    rest = b"" if cut else archive[position + len(damage) :]
    asyncio.run(load_damaged(archive[:position] + damage + rest))


class Pieces:
    """A reader that gives what it has in pieces of given sizes."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.data = data
        self.sizes = sizes

    def read(self, size: int, /) -> bytes:
        size = min(size, self.sizes.pop() if self.sizes else size)
        found, self.data = self.data[:size], self.data[size:]
        return found


@given(
    some.lists(some.binary(max_size=300), min_size=1, max_size=4),
    some.lists(some.integers(1, 50)),
    some.integers(1, 64),
)
def test_any_split_inflates_the_same(members: list[bytes], sizes: list[int], step: int) -> None:
    reader = Inflated(Pieces(b"".join(gzip.compress(member) for member in members), sizes))
    found = b""
    while piece := reader.read(step):
        assert len(piece) <= step
        found += piece
    assert found == b"".join(members)


@given(some.binary(min_size=6, max_size=200), some.sampled_from([b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b""]))
def test_any_bytes_inflate_or_are_refused(data: bytes, magic: bytes) -> None:
    reader = Inflated(Pieces(magic + data, []))
    try:
        while reader.read(100):
            pass
    except Invalid:
        return


@given(some.binary(max_size=60) | some.text(max_size=60).map(str.encode))
def test_any_config_is_read_or_refused(data: bytes) -> None:
    try:
        parse_config(data)
    except Invalid:
        return


@given(some.integers(-62135596800 * 10**9, 253402300799 * 10**9))
def test_times_come_back(time: int) -> None:
    assert nanoseconds(timestamp(time)) == time


@given(some.text("0123456789-T:.Z+ ", max_size=35))
def test_any_time_is_a_number(text: str) -> None:
    assert isinstance(nanoseconds(text), int)
