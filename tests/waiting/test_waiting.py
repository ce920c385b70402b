"""Work goes to its end, whatever happens to the caller."""

import asyncio
import threading

import pytest

from boxship.waiting import in_thread, settled, to_the_end


async def test_the_result_and_the_failure_are_the_works_own() -> None:
    async def fails() -> None:
        raise LookupError("gone")

    assert await in_thread(lambda a, b: a + b, 1, b=2) == 3
    with pytest.raises(LookupError, match="gone"):
        await to_the_end(fails())


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_caller_goes_on_only_when_the_thread_is_through(times: int) -> None:
    begun, may_end, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        assert may_end.wait(10)
        ended.set()

    caller = asyncio.ensure_future(in_thread(work))
    await begun.wait()
    for _ in range(times):
        caller.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_a_cancelled_caller_is_cancelled_also_where_the_work_fails() -> None:
    may_end = asyncio.Event()

    async def fails() -> None:
        await may_end.wait()
        raise LookupError("gone")

    caller = asyncio.ensure_future(to_the_end(fails()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_settled_tells_no_outcome() -> None:
    failing = asyncio.ensure_future(asyncio.to_thread(int, "x"))
    await settled(failing)
    assert isinstance(failing.exception(), ValueError)

    waiting = asyncio.ensure_future(asyncio.Event().wait())
    waiting.cancel()
    await settled(waiting)
    assert waiting.cancelled()
