"""A builder with a fake executor, on a store in memory; a mount namespace for tests with real steps."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from builder_kit import Workplace

from boxship.store.memory import MemoryStore
from boxship.sys.mount import enter_private_namespace


@pytest.fixture
async def workplace(tmp_path: Path) -> AsyncIterator[Workplace]:
    store = MemoryStore()
    made = await Workplace(tmp_path, store).open()
    await made.base_image()
    yield made
    await made.close()
    await store.close()


@pytest.fixture(scope="session")
def private_mounts() -> None:
    """The test process works in a mount namespace of its own, as the daemon does."""
    enter_private_namespace()
