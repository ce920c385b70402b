"""Who owns whom, as far as it is known: a memory of objects that name owners, told of changes. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from boxship.cluster.objects import Object


class Owner(msgspec.Struct, frozen=True, gc=False):
    """One owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool = False  # blockOwnerDeletion


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where an object is. `resource` is a path ("apps/v1/deployments"); the uid tells it from another of its name."""

    resource: str
    namespace: str
    name: str
    uid: str


class Graph:
    """Dependents by their owners' uids, and the owners that wait for them to go."""

    def __init__(self) -> None:
        self._owners: dict[Place, tuple[Owner, ...]] = {}
        self._dependents: dict[str, dict[Place, None]] = {}  # owner's uid → in the order in which they came
        self._going: set[Place] = set()  # dependents that are being deleted
        self._waiting: dict[str, Place] = {}  # owners that wait for their dependents, by uid

    def put(self, place: Place, owners: tuple[Owner, ...], *, is_going: bool) -> list[str]:
        """An object is so now; the uids of owners that it had not before."""
        old = self._owners.get(place, ())
        if old != owners:
            for owner in old:
                if all(owner.uid != other.uid for other in owners):
                    self._unlink(owner.uid, place)
            for owner in owners:
                self._dependents.setdefault(owner.uid, {})[place] = None
            if owners:
                self._owners[place] = owners
            else:
                self._owners.pop(place, None)
        if owners and is_going:
            self._going.add(place)
        else:
            self._going.discard(place)
        known = {owner.uid for owner in old}
        return [owner.uid for owner in owners if owner.uid not in known]

    def remove(self, place: Place) -> None:
        for owner in self._owners.pop(place, ()):
            self._unlink(owner.uid, place)
        self._going.discard(place)

    def wait(self, place: Place) -> None:
        """An owner wants its dependents gone first."""
        self._waiting[place.uid] = place

    def wait_no_more(self, uid: str) -> None:
        self._waiting.pop(uid, None)

    def waiting(self, uid: str) -> Place | None:
        """The owner of that uid, if it waits."""
        return self._waiting.get(uid)

    def owners(self, place: Place) -> tuple[Owner, ...]:
        return self._owners.get(place, ())

    def dependents(self, uid: str) -> list[Place]:
        return list(self._dependents.get(uid, ()))

    def blocking(self, uid: str) -> list[Place]:
        """Dependents that keep their owner from going."""
        return [place for place in self.dependents(uid) if any(o.uid == uid and o.blocks for o in self._owners[place])]

    def is_going(self, place: Place) -> bool:
        return place in self._going

    def of_resource(self, resource: str) -> list[Place]:
        """All known dependents of one kind."""
        return [place for place in self._owners if place.resource == resource]

    def __len__(self) -> int:
        return len(self._owners)

    def _unlink(self, uid: str, place: Place) -> None:
        found = self._dependents.get(uid)
        if found is not None:
            found.pop(place, None)
            if not found:
                del self._dependents[uid]


def place_of(resource: str, object: Object) -> Place:
    metadata = object["metadata"]
    return Place(resource, metadata.get("namespace", ""), metadata["name"], metadata.get("uid", ""))


def owners_of(object: Object) -> tuple[Owner, ...]:
    return tuple(_owners(object["metadata"].get("ownerReferences") or ()))


def _owners(references: Iterable[dict[str, Any]]) -> Iterator[Owner]:
    for reference in references:
        yield Owner(
            reference.get("apiVersion", ""),
            reference.get("kind", ""),
            reference.get("name", ""),
            reference.get("uid", ""),
            bool(reference.get("blockOwnerDeletion")),
        )
