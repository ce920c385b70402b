"""Who belongs to whom: the children of an owner, the orphans of a namespace, and which owners to wake when a child
changes. Indexes over the caches; nothing is written here."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from boxship.cluster.controllers.workloads.pods import Owner, Pod, controller_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.selectors import LabelSelector
from boxship.cluster.reconcile.cache import Cache, Key

Child = Pod | Object
SelectorOf = Callable[[Object], LabelSelector]


def owner_of(child: Child) -> Owner | None:
    if isinstance(child, Pod):
        return child.controller
    return controller_of(child["metadata"].get("ownerReferences") or ())


def labels_of(child: Child) -> dict[str, str]:
    labels = child.labels if isinstance(child, Pod) else child["metadata"].get("labels")
    return dict(labels or {})


def is_deleted(child: Child) -> bool:
    return bool(child.deleted if isinstance(child, Pod) else child["metadata"].get("deletionTimestamp"))


class Family:
    """The objects of one cache by their controllers."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self._children: dict[str, dict[Key, None]] = defaultdict(dict)  # by the controller's uid
        self._orphans: dict[str, dict[Key, None]] = defaultdict(dict)  # by namespace
        cache.subscribe(self._changed)

    def children(self, uid: str) -> list[Any]:
        return [self.cache.get(key) for key in self._children.get(uid, ())]

    def orphans(self, namespace: str) -> list[Any]:
        return [self.cache.get(key) for key in self._orphans.get(namespace, ())]

    def _changed(self, key: Key, old: Child | None, new: Child | None) -> None:
        for child, goes in ((old, True), (new, False)):
            if child is None:
                continue
            owner = owner_of(child)
            table, place = (self._children, owner.uid) if owner else (self._orphans, key[0])
            if goes:
                table[place].pop(key, None)
                if not table[place]:
                    del table[place]
            else:
                table[place][key] = None


class Parents:
    """The selectors of all owners of one kind, by namespace; tells `wake` the keys of owners whose children changed."""

    def __init__(self, kind: str, cache: Cache, selector_of: SelectorOf, wake: Callable[[Key], None]) -> None:
        self._kind = kind
        self._cache = cache
        self._selector_of = selector_of
        self._wake = wake
        self._selectors: dict[str, dict[Key, LabelSelector]] = defaultdict(dict)
        cache.subscribe(self._changed)

    def matching(self, namespace: str, labels: dict[str, str]) -> Iterator[Key]:
        for key, selector in self._selectors.get(namespace, {}).items():
            if selector.matches(labels):
                yield key

    def child_changed(self, key: Key, old: Child | None, new: Child | None) -> None:
        """Subscribe it to the children's cache."""
        owners = [owner_of(child) if child is not None else None for child in (old, new)]
        for owner in owners:
            if owner is not None and owner.kind == self._kind:
                self._wake((key[0], owner.name))
        if new is None or owners[1] is not None or is_deleted(new):
            return
        if old is None or owners[0] is not None or labels_of(old) != labels_of(new):
            for parent in list(self.matching(key[0], labels_of(new))):
                self._wake(parent)

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._selectors[key[0]].pop(key, None)
            if not self._selectors[key[0]]:
                del self._selectors[key[0]]
        else:
            try:
                selector = self._selector_of(new)
            except Failure:
                return  # validated when it was written; an owner that nobody can understand selects nothing
            self._selectors[key[0]][key] = selector
        self._wake(key)
