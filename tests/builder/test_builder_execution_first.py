"""One of each kind of step, for real."""

import os
import time
from collections.abc import AsyncIterator

import pytest
from execution_kit import Bench, context, open_bench

from boxship.builder.operations import CopySource, FolderTree, Selection, StepFailed
from boxship.sys.mount import enter_private_namespace


@pytest.fixture(scope="session", autouse=True)
def private_mounts() -> None:
    """The test process works in a mount namespace of its own, as the daemon does."""
    enter_private_namespace()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with open_bench() as opened:
        yield opened


async def test_copy_run_folder(bench: Bench) -> None:
    folder = context(bench.home, {"a.txt": "hello\n", "d/b.txt": "deep\n", "d/c": "x"})
    tree = FolderTree(folder)
    source = CopySource(tree, Selection(("",)))
    first = await bench.execution.checksum(source, parents=False)
    assert first == await bench.execution.checksum(source, parents=False)
    copied = await bench.copy(bench.busybox, source, to="/app/")
    assert await bench.text(copied, "/app/d/b.txt") == "deep\n"
    assert (
        await bench.shell("cat /app/a.txt; echo more > /app/new; hostname", base=copied) == "hello\nbuildkitsandbox\n"
    )
    layer = await bench.run("/bin/sh", "-c", "echo more > /app/new", base=copied)
    ran = bench.on(copied, layer)
    assert await bench.text(ran, "/app/new") == "more\n"
    assert sorted(bench.members(ran.layers[-1])) == ["app", "app/new"]
    assert await bench.run("/bin/true") is None
    with pytest.raises(StepFailed) as failed:
        await bench.run("/bin/sh", "-c", "exit 7")
    assert failed.value.code == 7
    made = bench.on(ran, await bench.folder(ran, "/srv/www"))
    assert sorted(bench.members(made.layers[-1])) == ["srv", "srv/www"]
    assert await bench.folder(made, "/srv/www") is None


async def test_speed(bench: Bench) -> None:
    for _ in range(5):
        before = time.monotonic()
        await bench.run("/bin/true")
        print("run true", time.monotonic() - before)
    folder = context(bench.home, {})
    for number in range(15000):
        os.makedirs(folder / f"d{number // 100}", exist_ok=True)
        (folder / f"d{number // 100}" / f"f{number}").write_bytes(b"x" * (number % 4000))
    source = CopySource(FolderTree(folder), Selection(("",)))
    for _ in range(3):
        before = time.monotonic()
        await bench.execution.checksum(source, parents=False)
        print("checksum", time.monotonic() - before)
    before = time.monotonic()
    await bench.copy(bench.busybox, source, to="/app/")
    print("copy", time.monotonic() - before)
