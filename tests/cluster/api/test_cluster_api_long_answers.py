"""Long answers under fairness: a seat until they are through, turns by flow and level, and an end for slow readers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest
from cluster_api_kit import ADMIN, Asker, config_map, running

from boxship.cluster.api import seated
from boxship.cluster.api.fairness.fairness import Fairness
from boxship.cluster.api.gate import Gate, Visit
from boxship.cluster.api.request import Answer, Ask, Decision, Request, User
from boxship.cluster.api.seated import Seated
from boxship.cluster.api.storage import Storage, Unsealed
from boxship.cluster.objects.failure import Failure
from boxship.errors import Timeout
from boxship.store.memory import MemoryStore

MAPS = "v1/configmaps"
JANE = User("jane", ("system:authenticated",))
JOE = User("joe", ("system:authenticated",))
NODE = User("system:node:a", ("system:nodes", "system:authenticated"))


class Jane:
    """Authentication and authorisation: Jane asks, and may."""

    async def authenticate(self, headers: Mapping[str, list[str]], certificate: bytes | None) -> User:
        return JANE

    async def impersonate(self, user: User, headers: Mapping[str, list[str]], authorizer: Any) -> User:
        return user

    async def authorize(self, ask: Ask) -> Decision:
        return Decision(True)

    def refusal(self, ask: Ask, decision: Decision) -> Failure:
        raise NotImplementedError

    def is_removed(self, user: User) -> bool:
        return False


class Seat:
    """Implements seated.Seat: whether it is held. `waits` is how long each turn is waited for."""

    def __init__(self, waits: float = 0.0) -> None:
        self.held = False
        self._waits = waits

    def keep(self, seconds: float) -> None:
        self.held = True

    def leave(self) -> None:
        self.held = False

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        await asyncio.sleep(self._waits)
        yield


class Pieces:
    """Three pieces, and whether anybody still holds them."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def made(self) -> AsyncIterator[bytes]:
        try:
            for piece in (b"a", b"b", b"c"):
                yield piece
        finally:
            self.closed.set()


async def until(is_so: Any) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.001)


def fairness() -> Fairness:
    return Fairness(Storage(MemoryStore(), Unsealed()))


def slot_of(fair: Fairness, user: User) -> Any:
    return fair.slot(user, Ask(user, "list", resource="pods"))


async def told(asker: Asker, fair: Fairness) -> Answer:
    """A list of 2.4 MB, as it comes from the gate."""

    async def complete(request: Request) -> Request:
        return request

    visit = Visit("id", "GET", "/", {})
    reply = await Gate(asker.api, Jane(), Jane(), fair).perform(visit, asker.request("list", MAPS), "list", complete)
    assert isinstance(reply, Answer) and reply.rest is not None
    return reply


async def test_a_long_answer_keeps_its_seat_until_it_is_through_or_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as asker:
        for number in range(24):
            await asker.create(MAPS, "default", config_map(f"c{number:02}", {"k": "x" * 100_000}), user=ADMIN)
        fair = fairness()
        level = fair.levels["global-default"]
        first, second = await told(asker, fair), await told(asker, fair)
        assert level.executing == 2
        assert len(msgspec.json.decode(await first.whole())["items"]) == 24
        assert level.executing == 1
        pieces = second.pieces()
        for _ in range(3):
            await anext(pieces)
        assert level.executing == 1
        await pieces.aclose()
        assert level.executing == 0
        monkeypatch.setattr(seated, "SEAT_SECONDS", 0.01)
        third = await told(asker, fair)
        assert level.executing == 1
        await until(lambda: level.executing == 0)  # nobody reads it: it has no seat, but goes on
        assert len(msgspec.json.decode(await third.whole())["items"]) == 24
        assert level.executing == 0


async def test_a_slow_reader_is_cut_off_and_nothing_is_held_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seated, "READER_SECONDS", 0.05)
    seat, pieces = Seat(), Pieces()
    answer = Seated(pieces.made(), seat)
    assert await anext(answer) == b"a" and seat.held
    await asyncio.wait_for(pieces.closed.wait(), 20)
    assert not seat.held
    with pytest.raises(Timeout, match="took more than"):
        await anext(answer)


async def test_who_drops_a_long_answer_without_a_word_is_not_waited_for() -> None:
    dropped = Pieces()
    made = dropped.made()
    await anext(made)
    Seated(made, Seat())
    del made
    await asyncio.wait_for(dropped.closed.wait(), seated.READER_SECONDS / 2)


async def test_who_is_kept_waiting_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seated, "READER_SECONDS", 1.0)
    seat = Seat(waits=0.4)
    assert [piece async for piece in Seated(Pieces().made(), seat)] == [b"a", b"b", b"c"]
    assert not seat.held


async def test_many_long_answers_of_one_flow_stand_before_nobody_else() -> None:
    fair, order = fairness(), []

    async def take(user: User) -> None:
        async with slot_of(fair, user).turn():
            order.append(user)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(take(JANE)) for _ in range(40)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(take(user)) for user in (JOE, NODE)]
    await asyncio.gather(*tasks)
    assert order.index(NODE) < 4  # of another level
    assert order.index(JOE) < 4  # of another flow of the same level


async def test_a_seat_that_is_kept_is_given_back_once() -> None:
    fair = fairness()
    level = fair.levels["global-default"]
    async with slot_of(fair, JANE) as slot:
        slot.keep(0.01)
    assert level.executing == 1
    slot.leave()
    slot.leave()
    assert level.executing == 0
    async with slot_of(fair, JANE) as slot:
        slot.keep(0.01)
    await until(lambda: level.executing == 0)
    slot.leave()
    assert level.executing == 0
