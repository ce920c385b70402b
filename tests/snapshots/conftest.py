"""A snapshots room in a folder of its own."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from boxship.snapshots import Snapshots
from boxship.sys.mount import mounted_under, unmount


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Snapshots]:
    """A snapshots room whose test must leave no mount."""
    snapshots = Snapshots(tmp_path / "snapshots", mount_points=())
    await snapshots.recover([])
    yield snapshots
    await snapshots.close()
    left = mounted_under(tmp_path)
    for info in reversed(left):
        unmount(info.target)
    assert not left
    assert not os.listdir(tmp_path / "snapshots" / "trash")
    assert not os.listdir(tmp_path / "snapshots" / "staging")
