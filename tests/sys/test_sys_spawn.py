"""posix_spawn as we use it: files, environment, signals, limits, deadlines."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from boxship.errors import Exhausted, Internal, Timeout, Unavailable
from boxship.sys.pidfd import start_time
from boxship.sys.spawn import SAFE_ENVIRONMENT, find_program, reap, run, spawn


async def test_run_returns_output_and_code() -> None:
    done = await run(["sh", "-c", "cat; echo err >&2; exit 3"], stdin=b"hello", timeout=5)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"hello", b"err\n")


async def test_run_feeds_and_reads_much_at_once() -> None:
    data = os.urandom(700_000)
    done = await run(["cat"], stdin=data, timeout=10)
    assert done.stdout == data


async def test_run_survives_a_program_that_reads_nothing() -> None:
    assert (await run(["true"], stdin=b"x" * 500_000, timeout=5)).returncode == 0


async def test_run_kills_after_its_deadline() -> None:
    begin = time.monotonic()
    with pytest.raises(Timeout, match=r"did not end within 0\.1 s"):
        await run(["sleep", "60"], timeout=0.1)
    assert time.monotonic() - begin < 5


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


async def test_run_kills_when_cancelled() -> None:
    before = children()  # others than ours may end meanwhile
    task = asyncio.create_task(run(["sleep", "60"], timeout=60))
    async with asyncio.timeout(10):
        while not (ours := children() - before):
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not children() & ours, "the program was killed and reaped"


async def test_run_limits_output() -> None:
    with pytest.raises(Exhausted, match="more than 1000 bytes"):
        await run(["sh", "-c", "while :; do echo 0123456789; done"], timeout=10, limit=1000)


async def test_run_does_not_wait_for_a_grandchild_that_keeps_the_pipe() -> None:
    done = await run(["sh", "-c", "sleep 3 & echo here"], timeout=2)
    assert done.stdout == b"here\n"


async def test_run_tells_the_signal() -> None:
    assert (await run(["sh", "-c", "kill -TERM $$"], timeout=5)).returncode == -signal.SIGTERM


async def test_run_leaves_no_descriptor() -> None:
    before = set(os.listdir("/proc/self/fd"))
    await run(["cat"], stdin=b"x", timeout=5)
    with pytest.raises(Unavailable):
        await run(["no-such-program"], timeout=5)
    assert set(os.listdir("/proc/self/fd")) == before


def test_missing_programs_are_named() -> None:
    with pytest.raises(Unavailable, match="cannot run no-such-program"):
        find_program("no-such-program")
    with pytest.raises(Internal, match="cannot run /no/such"):
        spawn(["/no/such"], env={})


async def test_child_has_default_signals_and_an_empty_mask() -> None:
    done = await run(["cat", "/proc/self/status"], timeout=5)
    lines = dict(line.split(":\t") for line in done.stdout.decode().splitlines())
    assert int(lines["SigIgn"], 16) & 0x7FFFFFFF == 0  # the C library keeps 32 and 33 for itself
    assert int(lines["SigBlk"], 16) == 0


async def test_child_has_only_the_files_named_even_when_crossed() -> None:
    one, two = os.pipe()
    three, four = os.pipe()
    secret = os.open("/dev/zero", os.O_RDONLY)
    os.set_inheritable(secret, False)
    try:
        pid = spawn(
            ["bash", "-c", f"ls /proc/self/fd >&{one}; echo other >&{three}"],
            env=SAFE_ENVIRONMENT,
            files={one: four, three: two},  # each the other's place
        )
        assert reap(pid) == 0
        os.close(two)
        os.close(four)
        with os.fdopen(three, "rb") as first, os.fdopen(one, "rb") as second:
            numbers = {int(text) for text in first.read().split()}
            assert secret not in numbers
            assert second.read() == b"other\n"
    finally:
        os.close(secret)


def test_a_working_folder_of_its_own(tmp_path: Path) -> None:
    before = Path.cwd()
    for folder in (tmp_path, Path("/usr")):
        read, write = os.pipe()
        pid = spawn(["pwd"], env=SAFE_ENVIRONMENT, files={1: write}, folder=folder)
        os.close(write)
        assert reap(pid) == 0
        with os.fdopen(read) as out:
            assert out.read().strip() == str(folder)
    assert Path.cwd() == before
    with pytest.raises(Internal, match="No such file"):
        spawn(["pwd"], env=SAFE_ENVIRONMENT, folder=tmp_path / "gone")


def test_new_session() -> None:
    read, write = os.pipe()
    pid = spawn(["sh", "-c", "cut -d' ' -f6 /proc/$$/stat"], env=SAFE_ENVIRONMENT, files={1: write}, new_session=True)
    os.close(write)
    assert start_time(pid) > 0
    assert reap(pid) == 0
    with os.fdopen(read, "rb") as out:
        assert int(out.read()) == pid
