"""Processes by pidfd and by pid with start time."""

import asyncio
import os
import signal

import pytest
import uvloop

from boxship.sys.pidfd import is_alive, open_pidfd, open_process, send_signal, start_time, wait_pidfd
from boxship.sys.spawn import SAFE_ENVIRONMENT, reap, spawn


async def _end_and_wait() -> None:
    pid = spawn(["sleep", "60"], env=SAFE_ENVIRONMENT)
    started = start_time(pid)
    handle = open_pidfd(pid)
    try:
        assert is_alive(pid, started)
        assert not is_alive(pid, started + 1)
        assert not send_signal(pid, started + 1, signal.SIGKILL)
        waiting = asyncio.ensure_future(wait_pidfd(handle))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert send_signal(pid, started, signal.SIGTERM)
        await asyncio.wait_for(waiting, 20)
        assert not is_alive(pid, started), "a zombie does not live"
        assert reap(pid) == -signal.SIGTERM
        assert reap(pid) is None
        assert start_time(pid) == 0
        assert open_process(pid, started) is None
        assert not send_signal(pid, started, signal.SIGTERM)
    finally:
        os.close(handle)


async def test_wait_with_asyncio() -> None:
    await _end_and_wait()


def test_wait_with_uvloop() -> None:
    uvloop.run(_end_and_wait())


async def test_cancelled_wait_can_be_repeated() -> None:
    pid = spawn(["sleep", "60"], env=SAFE_ENVIRONMENT)
    handle = open_pidfd(pid)
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait_pidfd(handle), 0.01)
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        await asyncio.wait_for(wait_pidfd(handle), 20)
    finally:
        os.close(handle)
        reap(pid)


def test_no_process() -> None:
    assert not is_alive(0, 0)
    assert start_time(0) == 0
    assert not is_alive(2**22 + 1, 5)
    with pytest.raises(ProcessLookupError):
        open_pidfd(2**22)


@pytest.mark.parametrize("gone", [FileNotFoundError, ProcessLookupError])
def test_a_process_that_goes_while_it_is_looked_at(monkeypatch: pytest.MonkeyPatch, gone: type[OSError]) -> None:
    def leave(*_: object) -> int:
        raise gone

    monkeypatch.setattr(os, "open", leave)
    assert start_time(4711) == 0
    assert not is_alive(4711, 1)
