"""What shall stand of network policies said as a whole, for tests: the table is told of the difference."""

import weakref
from collections.abc import Mapping

import msgspec

from boxship.network.cluster import ClusterNetwork
from boxship.network.policies_rules import Change, Walls

Members = Mapping[str, frozenset[str]]


class State(msgspec.Struct, frozen=True):
    incoming: Mapping[str, Walls] = {}
    outgoing: Mapping[str, Walls] = {}
    groups: Members = {}
    sockets: Members = {}

    @property
    def is_empty(self) -> bool:
        return not self.incoming and not self.outgoing


def _walls(old: Mapping[str, Walls], new: Mapping[str, Walls]) -> dict[str, Walls | None]:
    return {address: new.get(address) for address in old | new if old.get(address) != new.get(address)}


def _members(old: Members, new: Members) -> dict[str, dict[str, bool] | None]:
    found: dict[str, dict[str, bool] | None] = dict.fromkeys(old.keys() - new.keys())
    for name, items in new.items():
        before = old.get(name, frozenset())
        found[name] = {item: item in items for item in before ^ items}
    return found


def between(old: State, new: State) -> Change:
    return Change(
        _walls(old.incoming, new.incoming),
        _walls(old.outgoing, new.outgoing),
        _members(old.groups, new.groups),
        _members(old.sockets, new.sockets),
    )


_led: "weakref.WeakKeyDictionary[ClusterNetwork, State]" = weakref.WeakKeyDictionary()


async def lead(cluster: ClusterNetwork, state: State) -> None:
    """Have exactly this in force."""
    known = _led.get(cluster)
    if known is None:
        await cluster.policies.replace(between(State(), state))
    else:
        await cluster.policies.change(between(known, state))
    _led[cluster] = state
