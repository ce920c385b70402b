"""What a lock's stream says, and that its end gives the lock back whenever it comes."""

import asyncio
import json

import pytest

from boxship.doors.docker import locks as door
from boxship.engine.locks import Locks


async def test_the_stream_of_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "ALIVE_SECONDS", 0.01)
    locks = Locks()
    first, second, third = (door.Held(locks, locks.ask("x", name, wait=True)) for name in ("one", "two", "three"))
    assert json.loads(await anext(first)) == {"held": True}
    assert await anext(first) == b"\n"
    assert json.loads(await anext(second))["waiting"] == "one"
    assert await anext(second) == b"\n"
    await third.aclose()  # its client went before its first line
    monkeypatch.setattr(door, "ALIVE_SECONDS", 10)
    waiting = asyncio.create_task(anext(second))
    await asyncio.sleep(0)
    await first.aclose()
    assert json.loads(await waiting) == {"held": True}
    await second.aclose()
    await second.aclose()
    assert locks.holder("x") is None
