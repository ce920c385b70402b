"""Fixtures of the fault tests."""

from collections.abc import Iterator

import pytest
from faults_instance import Instance, Launcher, instance


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """One process that has imported the daemon, and forks it."""
    made = Launcher()
    yield made
    made.close()


@pytest.fixture
def box(launcher: Launcher) -> Iterator[Instance]:
    """An instance of its own for a test, with the image busybox."""
    with instance(launcher) as made:
        yield made
