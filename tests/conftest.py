"""Fixtures of the whole suite: one real daemon for tests that only need one, the check of what is left behind, and what
lets several processes share the tests (`pytest -n 2 --dist loadfile`): which files come first, and who has to be alone.
"""

import contextlib
import fcntl
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from boxship.sys.mount import enter_private_namespace
from daemons import Daemon, running_daemon
from traces import left_behind, traces

# Long files come first, so that no process is left alone with one of them at the end.
LONG = ("faults", "cluster", "builder", "images", "scenarios", "clients", "pki", "delivery", "doors")

LEFT_BEHIND = 9  # exit code of its own: it is no failure of a test, and no second run excuses it

BEFORE = pytest.StashKey[set[str]]()
LEFT = pytest.StashKey[list[str]]()
SHARES = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--alone",
        action="store_true",
        help="nothing else uses Boxship on this machine meanwhile: whatever the tests leave behind fails the run",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.relative_to(tests).parts[0], len(LONG)))


# What is left behind. Where several processes share the tests, the one that gives them out looks after all have ended.


def pytest_sessionstart(session: pytest.Session) -> None:
    """With --alone: what is on the machine before the first test."""
    if session.config.getoption("--alone") and not _is_worker(session.config):
        session.config.stash[BEFORE] = traces()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --alone: no process, interface, rule, cgroup, mount or network namespace outlives the tests."""
    if SHARES in session.config.stash:
        session.config.stash[SHARES].cleanup()
    if BEFORE in session.config.stash:
        session.config.stash[LEFT] = sorted(left_behind(session.config.stash[BEFORE]))
        if session.config.stash[LEFT] and session.exitstatus == pytest.ExitCode.OK:  # who fails may not have cleared up
            session.exitstatus = LEFT_BEHIND


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if more := terminalreporter.config.stash.get(LEFT, []):
        terminalreporter.section("left behind by the tests", red=True)
        terminalreporter.write_line("\n".join(more))


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


# Who has to be alone.


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The process that gives out the tests tells each of the others where they take their shares of the machine."""
    if SHARES not in node.config.stash:
        node.config.stash[SHARES] = tempfile.TemporaryDirectory(prefix="bxshares")
    node.workerinput["shares"] = node.config.stash[SHARES].name


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """No other process has a test at work while an `undisturbed` one runs."""
    if not _is_worker(item.config):
        return (yield)
    with _share(Path(item.config.workerinput["shares"]), whole="undisturbed" in item.keywords):  # type: ignore[attr-defined]
        return (yield)


@contextlib.contextmanager
def _share(folder: Path, whole: bool) -> Iterator[None]:
    """A share of the machine, or the whole. Who waits for the whole keeps the gate: nobody takes a new share then."""
    with (folder / "gate").open("w") as gate, (folder / "machine").open("w") as machine:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if whole else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(machine, fcntl.LOCK_UN)  # a process that was forked meanwhile may have it open


@pytest.fixture(scope="session")
def private_mounts() -> None:
    """The test process works in a mount namespace of its own, as the daemon does; entered once, because the thread that
    starts programs stays in the one in which it was made."""
    enter_private_namespace()


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """A boxshipd of its own for the session, with the image busybox:latest."""
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_daemon(Path(folder)) as running:
        yield running
