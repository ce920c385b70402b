"""Seats and queues of the priority levels.

Each level has a number of seats, in proportion to its shares. It may use more while others leave theirs empty, down to
what these do not lend. Who finds no seat waits in the queue of its flow; a free seat goes to the flow that has had the
least time.

Most requests need the processor alone and would be over before the next has begun, so seats alone would not hold back
who sends many at once. Therefore only a few begin in one turn of the event loop: the others wait for the next turn, in
which newcomers are heard before it is decided again. Nothing here reads the store.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterable

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import too_many_requests

SENT_AWAY = "too many requests, please try again later."
IDLE_FLOWS = 1000  # remembered of a level
AT_ONCE = 4  # requests that begin in one turn of the event loop


class Setting(msgspec.Struct, frozen=True):
    """One PriorityLevelConfiguration."""

    name: str
    uid: str = ""
    exempt: bool = False
    shares: int = 30
    lendable: float = 0.0  # part of its seats
    borrowed: float = math.inf  # at most this part of its seats besides its own
    queued: int = 0  # requests that may wait, of all flows; 0: none waits
    queued_flow: int = 0  # of one flow


class _Flow:
    """Requests that share a queue. `spent` is the time that the flow has had, in seconds."""

    def __init__(self, spent: float) -> None:
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.spent = spent
        self.executing = 0


class Level:
    """One priority level as it is now."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.seats = 1
        self.executing = 0
        self.waiting = 0
        self.rejected = 0
        self.flows: dict[str, _Flow] = {}
        self.spent = 0.0  # time that it has had, in seconds
        self._spent = 0.0  # what the flow had that came last to a seat: newcomers begin there

    @property
    def kept(self) -> int:
        """Seats that it does not lend."""
        return self.seats - math.floor(self.seats * self.setting.lendable)

    @property
    def most(self) -> float:
        return self.seats + self.seats * self.setting.borrowed

    def flow(self, name: str) -> _Flow:
        found = self.flows.get(name)
        if found is None:
            if len(self.flows) >= IDLE_FLOWS:
                self._forget()
            found = self.flows[name] = _Flow(self._spent)
        elif not found.waiting and not found.executing:
            found.spent = max(found.spent, self._spent)  # idle time is not saved up
        return found

    def next_flow(self) -> _Flow | None:
        """The waiting flow that has had the least time."""
        waiting = [flow for flow in self.flows.values() if flow.waiting]
        if not waiting:
            return None
        chosen = min(waiting, key=lambda flow: (flow.spent, flow.executing))
        self._spent = max(self._spent, chosen.spent)
        return chosen

    def _forget(self) -> None:
        for name in [name for name, flow in self.flows.items() if not flow.waiting and not flow.executing]:
            del self.flows[name]


class Levels:
    """All levels, which share `seats` between them."""

    def __init__(self, seats: int, patience: float) -> None:
        self._seats = seats
        self._patience = patience  # seconds that a request waits
        self.levels: dict[str, Level] = {}
        self._executing = 0
        self._waiting = 0
        self._spent = 0.0  # for its size, by the level that came last to a seat from its queue
        self._begun = 0  # in this turn of the event loop
        self._turning = False

    def configure(self, settings: Iterable[Setting]) -> None:
        """These are the levels now. One that is gone stays until its requests are."""
        wanted = {setting.name: setting for setting in settings}
        for name, setting in wanted.items():
            if name in self.levels:
                self.levels[name].setting = setting
            else:
                self.levels[name] = Level(setting)
        for name in [name for name in self.levels if name not in wanted]:
            if not self.levels[name].executing and not self.levels[name].waiting:
                del self.levels[name]
        total = sum(level.setting.shares for level in self._limited()) or 1
        for level in self._limited():
            level.seats = max(1, math.ceil(self._seats * level.setting.shares / total))
        self._dispatch()

    async def enter(self, level: Level, flow_name: str) -> None:
        """Wait for a seat. Raises Failure TooManyRequests."""
        setting = level.setting
        flow = level.flow(flow_name)
        has_turn = self._begun < AT_ONCE or not setting.queued
        if has_turn and not level.waiting and self._has_seat(level):
            self._seat(level, flow)
            return
        if level.waiting >= setting.queued or len(flow.waiting) >= setting.queued_flow:
            level.rejected += 1
            raise too_many_requests(SENT_AWAY)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        flow.waiting.append(turn)
        if not level.waiting and not level.executing:
            level.spent = max(level.spent, self._spent * level.seats)  # idle time is not saved up
        level.waiting += 1
        self._waiting += 1
        self._dispatch()
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.leave(level, flow_name, 0.0)  # the seat came in the moment in which nobody wanted it any more
            else:
                flow.waiting.remove(turn)
                level.waiting -= 1
                self._waiting -= 1
            if isinstance(error, TimeoutError):
                level.rejected += 1
                raise too_many_requests(SENT_AWAY) from error
            raise

    def leave(self, level: Level, flow_name: str, seconds: float) -> None:
        """The request is over after so long."""
        flow = level.flows[flow_name]
        flow.executing -= 1
        flow.spent += seconds
        level.executing -= 1
        level.spent += seconds
        self._executing -= 1
        if self._waiting:
            self._dispatch()

    def _limited(self) -> list[Level]:
        return [level for level in self.levels.values() if not level.setting.exempt]

    def _has_seat(self, level: Level) -> bool:
        if level.executing < level.seats and level.executing < level.kept:
            return True
        if level.executing >= level.most:
            return False
        held_back = sum(max(0, other.kept - other.executing) for other in self._limited() if other is not level)
        return self._executing + held_back < self._seats

    def _seat(self, level: Level, flow: _Flow) -> None:
        flow.executing += 1
        level.executing += 1
        self._executing += 1
        self._begun += 1
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """The event loop comes round: others may begin."""
        self._turning = False
        self._begun = 0
        self._dispatch()

    def _dispatch(self) -> None:
        """Give free seats to those who wait: first to levels that have the smallest part of theirs, or have had the
        least time for their size."""
        while self._waiting and self._begun < AT_ONCE:
            able = [level for level in self.levels.values() if level.waiting and self._has_seat(level)]
            if not able:
                return
            level = min(able, key=lambda level: (level.executing / level.seats, level.spent / level.seats))
            self._spent = max(self._spent, level.spent / level.seats)
            flow = level.next_flow()
            if flow is None:
                return
            turn = flow.waiting.popleft()
            level.waiting -= 1
            self._waiting -= 1
            if not turn.done():
                self._seat(level, flow)
                turn.set_result(None)


def setting_of(object: Object) -> Setting:
    """A stored PriorityLevelConfiguration as a value."""
    name, uid = object["metadata"]["name"], object["metadata"].get("uid", "")
    spec = object.get("spec") or {}
    if spec.get("type") == "Exempt":
        return Setting(name, uid, exempt=True, shares=0)
    limited = spec.get("limited") or {}
    response = limited.get("limitResponse") or {}
    queuing = (response.get("queuing") or {}) if response.get("type") == "Queue" else None
    length = _number(queuing, "queueLengthLimit", 50)
    borrowed = limited.get("borrowingLimitPercent")
    return Setting(
        name,
        uid,
        shares=_number(limited, "nominalConcurrencyShares", 30),
        lendable=_number(limited, "lendablePercent", 0) / 100,
        borrowed=math.inf if borrowed is None else borrowed / 100,
        queued=0 if queuing is None else length * _number(queuing, "queues", 64),
        queued_flow=0 if queuing is None else length * _number(queuing, "handSize", 8),
    )


def _number(place: Object | None, name: str, default: int) -> int:
    value = (place or {}).get(name)
    return default if value is None else int(value)
