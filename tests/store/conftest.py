"""Both stores, so that one suite holds for both."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from boxship.store import Store
from boxship.store.memory import MemoryStore
from boxship.store.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else await SqliteStore.open(tmp_path / "state.db")
    yield made
    await made.close()
