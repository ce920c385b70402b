"""A builder with a fake executor, on a store in memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from builder_kit import Workplace

from boxship.store.memory import MemoryStore


@pytest.fixture
async def workplace(tmp_path: Path) -> AsyncIterator[Workplace]:
    store = MemoryStore()
    made = await Workplace(tmp_path, store).open()
    await made.base_image()
    yield made
    await made.close()
    await store.close()
