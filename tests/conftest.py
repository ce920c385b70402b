"""Fixtures of the whole suite: one real daemon for all tests that only need one."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from daemons import Daemon, running_daemon


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """A boxshipd of its own for the session, with the image busybox:latest."""
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_daemon(Path(folder)) as running:
        yield running
