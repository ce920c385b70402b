"""kill -9 of who writes under load: every acknowledged commit is there, none by half, and a watch that goes on where
the killed one ended has no gap and no repeat."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from etcd_kit import Etcd
from store_child import opened

Seen = tuple[int, str, str]


def killed_child(place: str, name: str, position: int, lines: int) -> tuple[dict[str, int], int, list[Seen]]:
    """What a child said before it was killed: acknowledged counts by key, the newest revision, what its watch saw."""
    command = [sys.executable, str(Path(__file__).with_name("store_child.py")), place, name, str(position)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged: dict[str, int] = {}
    seen: list[Seen] = []
    newest = 0
    for number, line in enumerate(child.stdout, 1):
        if number == lines:
            os.kill(child.pid, signal.SIGKILL)
        if not line.endswith("\n"):
            continue  # cut off
        what, revision, key, value = line.split()
        if what == "made":
            acknowledged[key] = int(value)
            newest = max(newest, int(revision))
        else:
            seen.append((int(revision), key, value))
    child.wait()
    assert number >= lines, "the child ended by itself"
    return acknowledged, newest, seen


def whole(seen: list[Seen]) -> list[Seen]:
    """Without a last commit of which only one half was told before the kill: the next watch begins before it."""
    if len(seen) % 2:
        seen = seen[:-1]
    assert all(one[0] == two[0] and two[1] == f"{one[1]}/twin" for one, two in zip(seen[::2], seen[1::2], strict=True))
    return seen


async def check(place: str, start: int, acknowledged: dict[str, int], newest: int, seen: list[Seen]) -> None:
    store = await opened(place)
    found = {entry.key: entry.value for entry in (await store.list("")).entries}
    revision = await store.revision()
    assert revision >= newest
    for key, count in acknowledged.items():
        assert int(found[key]) >= count
    for key, value in found.items():
        assert key.endswith("/twin") or found[f"{key}/twin"] == value  # no commit is there by half
    truth = [
        (change.revision, change.key, (change.value or b"-").decode())
        async for change in store.past("", after=start, until=revision)
    ]
    assert [row[0] for row in truth[::2]] == list(range(start + 1, revision + 1))
    assert seen == truth[: len(seen)]
    await store.close()


@pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["sqlite", "etcd"])
def test_kill_9_under_load(tmp_path: Path, kind: str, rounds: int, request: pytest.FixtureRequest) -> None:
    place = str(tmp_path / "state.db")
    if kind == "etcd":
        etcd: Etcd = request.getfixturevalue("session_etcd")
        etcd.empty()
        place = etcd.url
    start = asyncio.run(revision_of(place))
    position = start
    acknowledged: dict[str, int] = {}
    newest, seen = 0, []
    for number in range(rounds):
        made, newest, more = killed_child(place, f"r{number}", position, 200 + 111 * (number % 5))
        acknowledged |= made
        more = whole(more)
        seen += more
        position = seen[-1][0] if seen else start
        asyncio.run(check(place, start, acknowledged, newest, seen))
    assert len(seen) > 100


async def revision_of(place: str) -> int:
    store = await opened(place)
    revision = await store.revision()
    await store.close()
    return revision
