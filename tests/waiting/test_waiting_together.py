"""Several pieces of work: all results, or the first failure alone, and nothing of the rest goes on."""

import asyncio

import pytest

from boxship.waiting.together import both, together


async def test_results_are_in_order() -> None:
    second = asyncio.Event()

    async def slow() -> int:
        await second.wait()
        return 1

    async def quick() -> int:
        second.set()
        return 2

    assert await together([slow(), quick()]) == [1, 2]
    assert await together([]) == []
    second.clear()
    assert await both(slow(), quick()) == (1, 2)


async def test_the_first_failure_ends_the_others_and_is_raised_itself() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("endless")

    async def fails() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await together([endless(), fails(), endless()])
    assert ended == ["endless", "endless"]
    with pytest.raises(LookupError):
        await both(endless(), fails())
    assert len(ended) == 3


async def test_a_cancelled_caller_leaves_nothing_behind() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    caller = asyncio.ensure_future(together([endless()]))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_a_cancellation_is_not_lost_where_the_work_fails_at_its_end() -> None:
    begun = asyncio.Event()

    async def clumsy() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("in the way")

    caller = asyncio.ensure_future(together([clumsy()]))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
