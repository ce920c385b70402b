"""Fixtures of the whole suite: one real daemon for tests that only need one, the check of what is left behind."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from boxship.sys.mount import enter_private_namespace
from daemons import Daemon, running_daemon
from traces import left_behind, traces


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--alone",
        action="store_true",
        help="nothing else uses Boxship on this machine meanwhile: whatever the tests leave behind fails the run",
    )


@pytest.fixture(scope="session", autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --alone: no process, interface, rule, cgroup, mount or network namespace outlives the tests."""
    if not request.config.getoption("--alone"):
        yield
        return
    before = traces()
    yield
    more = left_behind(before)
    assert not more, "left behind by the tests:\n" + "\n".join(sorted(more))


@pytest.fixture(scope="session")
def private_mounts() -> None:
    """The test process works in a mount namespace of its own, as the daemon does; entered once, because the thread that
    starts programs stays in the one in which it was made."""
    enter_private_namespace()


@pytest.fixture(scope="session")
def daemon(nothing_left: None) -> Iterator[Daemon]:
    """A boxshipd of its own for the session, with the image busybox:latest."""
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_daemon(Path(folder)) as running:
        yield running
