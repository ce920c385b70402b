"""Layers of one image unpacked side by side: what needs the layer below waits for it, and none is there before it."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from snapshot_archives import FOLDER, archive, entry, stream
from snapshot_archives import chain_id as chain

from boxship.errors import BoxshipError, Conflict, Invalid, NotFound
from boxship.snapshots import Snapshots


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Snapshots]:
    made = Snapshots(tmp_path / "snapshots", mount_points=())
    await made.recover(())
    yield made
    await made.close()


class Slow:
    """An archive whose end comes when it is told to."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.go = asyncio.Event()
        self.started = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.started.set()
        yield self._data[:512]
        await self.go.wait()
        yield self._data[512:]


def tar(name: str) -> bytes:
    return archive(entry(name, b"x"))


LOWER = archive(entry("private", type=FOLDER, mode=0o700, uid=7), entry("private/a", b"a" * 5000))


async def test_a_layer_waits_for_the_one_below_only_where_it_must(room: Snapshots) -> None:
    slow = Slow(LOWER)
    first = asyncio.create_task(room.apply(chain(1), None, aiter(slow)))
    await slow.started.wait()
    needs = asyncio.create_task(room.apply(chain(2), chain(1), stream(tar("private/b"))))
    plain = tar("c")
    third = asyncio.create_task(room.apply(chain(3), chain(2), stream(plain)))
    done, _ = await asyncio.wait([first, needs, third], timeout=0.5)
    assert not done and room.layers() == []
    slow.go.set()
    await asyncio.gather(first, needs, third)
    assert room.layers() == [chain(1), chain(2), chain(3)]
    made = os.stat(room._layout.layer(chain(2)) / "fs/private")
    assert (stat.S_IMODE(made.st_mode), made.st_uid) == (0o700, 7)  # as the layer below has it


async def test_what_stands_on_a_layer_that_fails_is_not_there(room: Snapshots) -> None:
    slow = Slow(LOWER[:3000])
    first = asyncio.create_task(room.apply(chain(1), None, aiter(slow)))
    await slow.started.wait()
    needs = asyncio.create_task(room.apply(chain(2), chain(1), stream(tar("private/b"))))
    plain = asyncio.create_task(room.apply(chain(3), chain(2), stream(tar("c"))))
    await asyncio.sleep(0)
    slow.go.set()
    found = await asyncio.gather(first, needs, plain, return_exceptions=True)
    assert [type(error) for error in found] == [Invalid, Conflict, Conflict]
    assert room.layers() == []
    with pytest.raises(NotFound):
        await room.apply(chain(2), chain(1), stream(LOWER))


async def test_many_layers_side_by_side(room: Snapshots) -> None:
    sizes = await asyncio.gather(
        *(room.apply(chain(n), chain(n - 1) if n > 1 else None, stream(tar(f"private/{n}"))) for n in range(1, 30))
    )
    assert len(sizes) == 29 and len(room.layers()) == 29
    assert len(room._layout.chain(chain(29))) == 29


async def test_cancelled_in_the_middle(room: Snapshots) -> None:
    slow = Slow(LOWER)
    tasks = [asyncio.create_task(room.apply(chain(1), None, aiter(slow)))]
    tasks += [asyncio.create_task(room.apply(chain(n), chain(n - 1), stream(tar(f"private/{n}")))) for n in range(2, 6)]
    await slow.started.wait()
    for task in tasks:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, (asyncio.CancelledError, BoxshipError)) for error in found)
    assert room.layers() == [] and not room._unpacking
    await room.apply(chain(1), None, stream(LOWER))
