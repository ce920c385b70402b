"""An images room on real blobs, real layers and a store in memory; a registry that does as told."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from images_kit import Room
from remote_registry import FakeRegistry
from remote_room import RemoteRoom

from boxship.store.memory import MemoryStore


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    store = MemoryStore()
    made = await Room(tmp_path, store).open()
    yield made
    await made.close()
    await store.close()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        yield made


@pytest.fixture
async def puller(tmp_path: Path) -> AsyncIterator[RemoteRoom]:
    made = await RemoteRoom(tmp_path).open()
    yield made
    await made.close()
