"""How many nodes of each zone are well. Where too many are not, the fault is rather ours, or the network's: then nodes
are emptied slower, or not at all (documentation "Nodes", rate limits on eviction).

`Zones` counts; `state_of` and `rate_of` are pure. A zone's allowance is one node at once, filled up at its rate.
"""

from collections import defaultdict
from collections.abc import Callable
from enum import Enum

import msgspec

from boxship.cluster.controllers.nodes.facts import Node

UNHEALTHY_SHARE = 0.55
UNHEALTHY_LEAST = 3  # nodes
NORMAL_RATE, SLOW_RATE = 0.1, 0.01  # nodes a second
LARGE = 50  # nodes of a cluster that may go on slowly


class State(Enum):
    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


class Rates(msgspec.Struct, frozen=True):
    normal: float = NORMAL_RATE
    slow: float = SLOW_RATE
    large: int = LARGE
    share: float = UNHEALTHY_SHARE


def state_of(well: int, ill: int, share: float = UNHEALTHY_SHARE) -> State:
    if ill and not well:
        return State.FULL
    if ill >= UNHEALTHY_LEAST and ill / (well + ill) >= share:
        return State.PARTIAL
    return State.NORMAL


def rate_of(state: State, size: int, rates: Rates) -> float:
    """Nodes a second that may be emptied in a zone of `size` nodes. A zone that is wholly ill while others are well
    is emptied as any other."""
    if state is State.PARTIAL:
        return rates.slow if size > rates.large else 0.0
    return rates.normal


class _Zone:
    def __init__(self) -> None:
        self.nodes: dict[str, bool] = {}  # whether it is well
        self.ill = 0
        self.state = State.NORMAL
        self.allowance, self.since = 1.0, 0.0


class Zones:
    """`changed` is told when the states are others than before. `clock` never goes back."""

    def __init__(self, rates: Rates, clock: Callable[[], float], changed: Callable[[], None]) -> None:
        self._rates = rates
        self._clock = clock
        self._changed = changed
        self._zones: dict[str, _Zone] = defaultdict(_Zone)
        self._deaf = False

    @property
    def is_deaf(self) -> bool:
        """No node of any zone is well: more likely nobody is heard. Then no node is emptied."""
        return self._deaf

    def see(self, old: Node | None, new: Node | None) -> None:
        if old is not None and (new is None or new.zone != old.zone):
            self._forget(old)
        if new is not None:
            zone = self._zones[new.zone]
            was, now = zone.nodes.get(new.name), new.ready == "True"
            zone.nodes[new.name] = now
            zone.ill += (not now) - (was is False)
        self._judge()

    def wait(self, node: Node) -> float | None:
        """Take the allowance to empty a node: 0.0, or seconds until there may be one; None: none while it is so."""
        zone = self._zones[node.zone]
        rate = 0.0 if self._deaf else rate_of(zone.state, len(zone.nodes), self._rates)
        now = self._clock()
        zone.allowance, zone.since = min(zone.allowance + (now - zone.since) * rate, 1.0), now
        if not rate:
            return None
        if zone.allowance >= 1 - 1e-6:
            zone.allowance -= 1
            return 0.0
        return (1 - zone.allowance) / rate

    def _forget(self, node: Node) -> None:
        zone = self._zones[node.zone]
        if zone.nodes.pop(node.name, None) is False:
            zone.ill -= 1
        if not zone.nodes:
            del self._zones[node.zone]

    def _judge(self) -> None:
        changed = False
        for zone in self._zones.values():
            state = state_of(len(zone.nodes) - zone.ill, zone.ill, self._rates.share)
            changed |= state is not zone.state
            zone.state = state
        deaf = bool(self._zones) and all(zone.state is State.FULL for zone in self._zones.values())
        changed |= deaf is not self._deaf
        self._deaf = deaf
        if changed:
            self._changed()
