"""What policies say of the pods of one node: walls by address and members of groups, told as what has changed. Pure but
for what it remembers.

What is told here is only noted. `steps` does the work, a small step at a time, so that whoever runs it can give others
their turn; when nothing is left to do, `take` tells what is otherwise than when it was last asked. So what is in force
always follows from one moment's objects, and a policy counts together with the members of its groups.
"""

from collections.abc import Iterator

import msgspec

from boxship.cluster.proxy.groups import Members
from boxship.cluster.proxy.walls import Key, Labels, PodFacts, PolicyFacts, Sides, walls_of
from boxship.network.policies_rules import Change, Walls

NOTHING: Sides = (None, None)


class Here(msgspec.Struct, frozen=True):
    """A pod of this node."""

    namespace: str
    facts: PodFacts


class Judge:
    """Of one node."""

    def __init__(self) -> None:
        self._members = Members()
        self._policies: dict[str, dict[str, PolicyFacts]] = {}  # by namespace and name
        self._here: dict[str, Here] = {}  # by uid
        self._spaces: dict[str, dict[str, None]] = {}  # the same by namespace
        self._at: dict[str, dict[str, None]] = {}  # by address: a static pod is here twice, as its mirror too
        self._sides: dict[str, Sides] = {}
        self._stale: dict[str, None] = {}  # pods whose walls are to be found anew
        self._touched: dict[str, None] = {}  # addresses that may have other walls
        self._incoming: dict[str, Walls | None] = {}
        self._outgoing: dict[str, Walls | None] = {}

    def put_policy(self, key: Key, facts: PolicyFacts | None) -> None:
        namespace, name = key
        old = self._policies.get(namespace, {}).get(name)
        if facts is not None:  # first, so that what both speak of is not given up
            self._members.want(facts.groups, facts.named)
            self._policies.setdefault(namespace, {})[name] = facts
        elif old is not None:
            del self._policies[namespace][name]
            if not self._policies[namespace]:
                del self._policies[namespace]
        if old is not None:
            self._members.release(old.groups, old.named)
        self._stale.update(self._spaces.get(namespace, {}))

    def put_namespace(self, name: str, labels: Labels | None) -> None:
        self._members.put_namespace(name, labels)

    def put_pod(self, uid: str, namespace: str, facts: PodFacts | None, *, here: bool) -> None:
        """None: it is gone. `here`: on this node."""
        self._members.put_pod(uid, namespace, facts)
        known = self._here.get(uid)
        if known is not None and known.facts.address:
            self._leave(uid, known.facts.address)
        if facts is not None and here:
            self._here[uid] = Here(namespace, facts)
            self._spaces.setdefault(namespace, {})[uid] = None
            if facts.address:
                self._at.setdefault(facts.address, {})[uid] = None
                self._touch(uid, facts.address)
        elif known is not None:
            del self._here[uid], self._spaces[namespace][uid]
            if not self._spaces[namespace]:
                del self._spaces[namespace]
        self._stale[uid] = None

    def has(self, uid: str) -> bool:
        """Whether a pod is known to be here."""
        return uid in self._here

    def _leave(self, uid: str, address: str) -> None:
        del self._at[address][uid]
        if not self._at[address]:
            del self._at[address]
        self._touch(uid, address)

    def _touch(self, uid: str, address: str) -> None:
        if uid in self._sides:
            self._touched[address] = None

    def others_at(self, address: str, uid: str) -> list[tuple[str, str, PodFacts]]:
        """Who else here is said to have an address: uid, namespace and facts."""
        found = [(other, self._here[other]) for other in self._at.get(address, ()) if other != uid]
        return [(other, here.namespace, here.facts) for other, here in found]

    @property
    def is_settled(self) -> bool:
        return self._members.is_settled and not self._stale and not self._touched

    def steps(self) -> Iterator[None]:
        """Until nothing is left to do."""
        while not self.is_settled:
            yield from self._members.steps()
            yield from self._judge()
            yield from self._join()

    def _judge(self) -> Iterator[None]:
        while self._stale:
            uid, _ = self._stale.popitem()
            here = self._here.get(uid)
            policies = list(self._policies.get(here.namespace, {}).values()) if here is not None else []
            selected = []
            for policy in policies:
                if here is not None and policy.pods.matches(here.facts.labels):
                    selected.append(policy)
                yield
            sides = walls_of(selected)
            if uid in self._stale:
                continue  # it has changed meanwhile
            if sides != self._sides.get(uid, NOTHING) and here is not None and here.facts.address:
                self._touched[here.facts.address] = None
            self._sides.pop(uid, None)
            if sides != NOTHING:
                self._sides[uid] = sides
            yield

    def _join(self) -> Iterator[None]:
        while self._touched:
            address, _ = self._touched.popitem()
            sides = [self._sides.get(uid, NOTHING) for uid in self._at.get(address, ())]
            joined = [_joined(side) for side in zip(NOTHING, *sides, strict=True)]
            self._incoming[address], self._outgoing[address] = joined
            yield

    def take(self) -> Change:
        """What is otherwise than the last time. Only when all is settled."""
        incoming, outgoing, self._incoming, self._outgoing = self._incoming, self._outgoing, {}, {}
        return Change(incoming, outgoing, self._members.take_groups(), self._members.take_sockets())


def _joined(sides: tuple[Walls | None, ...]) -> Walls | None:
    found = {wall.name: wall for walls in sides for wall in walls or ()}
    if found or any(walls is not None for walls in sides):
        return tuple(found[name] for name in sorted(found))
    return None
