"""What stands in the kernel of network policies, as it is remembered here, and the commands that lead it from change to
change. Pure but for what it remembers.

A step costs what has changed, however much there is: chains and sets are counted by who uses them, and one that
nobody leads to is not in the kernel. A chain's name says what is in it, so chains come and go but never change.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from boxship.network import policies_rules as rules
from boxship.network.policies_rules import INCOMING, OUTGOING, Change, Wall, Walls, elements

NAMES_KEPT = 1000  # of combinations of walls
TURN = 500  # elements between two rests
Thing = TypeVar("Thing")


class Single(msgspec.Struct, frozen=True):
    """One wall's chain: its rules, and the sets that these speak of."""

    rules: tuple[str, ...]
    sets: frozenset[str]


class Users(Generic[Thing]):
    """Things by name, each as long as somebody uses it."""

    def __init__(self) -> None:
        self.present: dict[str, Thing] = {}
        self._counts: Counter[str] = Counter()
        self._was: dict[str, bool] = {}  # of those touched since the last `settle`: whether they were there

    def add(self, name: str, thing: Thing) -> bool:
        """Whether this is the first use."""
        self._was.setdefault(name, name in self.present)
        self._counts[name] += 1
        self.present[name] = thing
        return self._counts[name] == 1

    def drop(self, name: str) -> Thing | None:
        """What nobody uses any more; None: somebody does."""
        self._was.setdefault(name, name in self.present)
        self._counts[name] -= 1
        if self._counts[name]:
            return None
        del self._counts[name]
        return self.present.pop(name)

    def settle(self) -> tuple[list[str], list[str]]:
        """What has come since the last time, and what has gone."""
        touched, self._was = self._was, {}
        come = [name for name, was in touched.items() if not was and name in self.present]
        return come, [name for name, was in touched.items() if was and name not in self.present]


class Standing:
    """Of one machine. `own` are all addresses that its pods may have; `rest` lets others have their turn."""

    def __init__(self, own: Iterable[str], rest: Callable[[], None] = lambda: None) -> None:
        self._own = tuple(own)
        self._rest = rest
        self.maps: dict[str, dict[str, str]] = {INCOMING: {}, OUTGOING: {}}  # address → its chain
        self._held: dict[str, set[str]] = {}  # what is in sets, whether rules speak of them or not
        self._names: dict[tuple[str, Walls], tuple[str, ...]] = {}
        self._combined: Users[tuple[str, ...]] = Users()  # chains that jump to walls
        self._single: Users[Single] = Users()
        self._sets: Users[None] = Users()

    @property
    def is_empty(self) -> bool:
        return not any(self.maps.values())

    @property
    def chains(self) -> dict[str, tuple[str, ...]]:
        """With their rules."""
        inner = {name: single.rules for name, single in self._single.present.items()}
        return inner | {name: _jumps(names) for name, names in self._combined.present.items()}

    @property
    def sets(self) -> dict[str, frozenset[str]]:
        return {name: frozenset(self._held.get(name, ())) for name in self._sets.present}

    def take(self, table: str, change: Change) -> str:
        """Remember a change; the commands that carry it out ("": it changes nothing), where the table is there."""
        moved = self._hold(change)
        led = [
            line
            for direction, wanted in ((INCOMING, change.incoming), (OUTGOING, change.outgoing))
            for line in self._lead(table, direction, wanted)
        ]
        come, gone = self._sets.settle()
        lines = self._declare(table, come)
        for name, flips in moved.items():
            if name in self._sets.present and name not in come:
                lines += elements(table, "delete", name, (item for item, inside in flips.items() if not inside))
                lines += elements(table, "add", name, (item for item, inside in flips.items() if inside))
        single, combined = self._single.settle(), self._combined.settle()
        lines += self._chains(table, (*single[0], *combined[0])) + led
        dead = (*combined[1], *single[1])
        lines += [f"flush chain ip {table} {name}" for name in dead] + [
            f"delete chain ip {table} {name}" for name in dead
        ]
        lines += [f"delete set ip {table} {name}" for name in gone]
        return "\n".join(lines) + "\n" if lines else ""

    def whole(self, table: str) -> str:
        """The commands for everything, whatever is there."""
        lines = [*rules.frame(table), *self._declare(table, self._sets.present)]
        lines += self._chains(table, (*self._single.present, *self._combined.present))
        for direction, pairs in self.maps.items():
            lines += elements(table, "add", direction, (f"{key} : goto {name}" for key, name in pairs.items()))
        lines += elements(table, "add", "itself", (f"{address} . {address}" for address in self._own))
        return "\n".join(lines) + "\n"

    def _hold(self, change: Change) -> dict[str, dict[str, bool]]:
        """What really comes to sets and leaves them."""
        groups = ((rules.group_name(name), flips) for name, flips in change.groups.items())
        sockets = ((rules.socket_name(name), flips) for name, flips in change.sockets.items())
        moved = {}
        for name, flips in (*groups, *sockets):
            held = self._held.setdefault(name, set())
            if flips is None:
                flips = dict.fromkeys(held, False)
                del self._held[name]
            found = {item: inside for item, inside in flips.items() if inside != (item in held)}
            for count, (item, inside) in enumerate(found.items(), 1):
                held.add(item) if inside else held.discard(item)
                self._rest() if count % TURN == 0 else None
            moved[name] = found
        return moved

    def _lead(self, table: str, direction: str, wanted: Mapping[str, Walls | None]) -> list[str]:
        pairs, gone, added = self.maps[direction], [], []
        for count, (address, walls) in enumerate(wanted.items(), 1):
            old, new = pairs.get(address), self._use(direction, walls) if walls is not None else None
            if old is not None:
                self._release(old)
            if old != new:
                gone += [address] if old is not None else []
                added += [f"{address} : goto {new}"] if new is not None else []
            if new is not None:
                pairs[address] = new
            elif old is not None:
                del pairs[address]
            self._rest() if count % TURN == 0 else None
        return elements(table, "delete", direction, gone) + elements(table, "add", direction, added)

    def _use(self, direction: str, walls: Walls) -> str:
        """The chain of a combination of walls, which has one user more."""
        names = self._names.get((direction, walls))
        if names is None:
            if len(self._names) >= NAMES_KEPT:
                self._names.clear()
            names = self._names[direction, walls] = tuple(rules.wall_name(wall, direction) for wall in walls)
        combined = f"walls_{rules.digest(direction, *names)}"
        if self._combined.add(combined, names):
            for name, wall in zip(names, walls, strict=True):
                self._use_single(name, wall, direction)
        return combined

    def _use_single(self, name: str, wall: Wall, direction: str) -> None:
        single = Single(rules.wall_rules(wall, direction), frozenset(rules.sets_of(wall)))
        if self._single.add(name, single):
            for found in single.sets:
                self._sets.add(found, None)

    def _release(self, combined: str) -> None:
        for name in self._combined.drop(combined) or ():
            single = self._single.drop(name)
            for found in single.sets if single is not None else ():
                self._sets.drop(found)

    def _declare(self, table: str, names: Iterable[str]) -> list[str]:
        lines = []
        for name in names:
            lines.append(f"add set ip {table} {name} {{ type {rules.type_of(name)}; }}")
            lines += elements(table, "add", name, self._held.get(name, ()))
            self._rest()
        return lines

    def _chains(self, table: str, names: Iterable[str]) -> list[str]:
        single, combined = self._single.present, self._combined.present
        found = {name: single[name].rules if name in single else _jumps(combined[name]) for name in names}
        lines = [f"add chain ip {table} {name}" for name in found]
        return lines + [f"add rule ip {table} {name} {rule}" for name, texts in found.items() for rule in texts]


def _jumps(walls: Iterable[str]) -> tuple[str, ...]:
    return (*(f"jump {name}" for name in walls), "drop")
