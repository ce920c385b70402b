"""The snapshot: nodes and the pods on them as one moment knows them, kept up to date by small changes. Each node has a
place; vectors have one number for each place.

Vectors that follow from nodes alone ("columns") and counts of pods ("tallies") are computed when they are first asked
for, and afterwards only where something changed. A decision only reads; who carries it out tells the world of it.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from boxship.cluster.objects.selectors import LabelSelector
from boxship.cluster.scheduler.columns import Columns, Sums
from boxship.cluster.scheduler.nodes import Node
from boxship.cluster.scheduler.shapes import Key, Pod, PodTerm, Shape
from boxship.cluster.scheduler.storage import Storage
from boxship.cluster.scheduler.tallies import TALLIES, Crowd, Kept, Tally
from boxship.cluster.scheduler.terms import Holding, Holdings
from boxship.cluster.scheduler.vectors import WIDE, Arrays, Kernel, Lists, Vector

PODS = "pods"  # the resource that every pod takes one of
ONE = {PODS: 1}
SHEETS = 64  # shapes that are decided together


class World:
    def __init__(self, wide: int = WIDE) -> None:
        """`wide`: nodes from which on arrays are used."""
        self._wide = wide
        self.kernel: Kernel = Lists()
        self.version = 0  # grows with every change that stays
        self.moment = 0  # grows with every change, of trials too
        self.nodes: list[Node | None] = []
        self.places: dict[str, int] = {}
        self.pods_at: list[dict[str, Pod]] = []
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.storage = Storage()
        self.nominated: dict[str, Pod] = {}
        self.sets: dict[str, dict[Key, LabelSelector]] = {}  # namespace → (kind, name) → its pods
        self.sets_version = 0
        self.crowd = Crowd()
        self.pods: dict[str, Pod] = {}  # with a node, by uid
        self._stray: dict[str, dict[str, Pod]] = {}  # pods on nodes that are not known
        self._free: list[int] = []
        self._columns = Columns(self.nodes)
        self._tallies = Kept(TALLIES)
        self._used, self._scoring = Sums(), Sums()
        self._holdings = Holdings()
        self.sheets = Kept(SHEETS)
        self._remembered = Kept(TALLIES)
        self.ports: dict[int, dict[str, dict[tuple[str, str], int]]] = {}  # port → uid → (protocol, address) → place

    # What there is.

    @property
    def size(self) -> int:
        """Places; some may be empty."""
        return len(self.nodes)

    def node_at(self, place: int) -> Node:
        node = self.nodes[place]
        assert node is not None
        return node

    @property
    def present(self) -> Vector:
        return self.column("present", _there, False)

    def column(self, key: Hashable, compute: Callable[[Node], Any], empty: Any = 0) -> Vector:
        """Not to be changed. `key` stands for what `compute` does."""
        return self._columns.get(self.kernel, key, compute, empty)

    def domains(self, key: str) -> tuple[Vector, int]:
        """Of a label: each node's value as a number (0: it has none), and one more than the greatest number."""
        return self._columns.domains(self.kernel, key)

    def allocatable(self, resource: str) -> Vector:
        return self.column(("allocatable", resource), lambda node: node.allocatable.get(resource, 0))

    def used(self, resource: str) -> Vector:
        return self._used.get(self.kernel, resource, self.size)

    def scoring(self, resource: str) -> Vector:
        """As `used`, with what is assumed of pods that ask for nothing."""
        return self._scoring.get(self.kernel, resource, self.size)

    def tally(self, terms: tuple[PodTerm, ...], *, overlook: bool = False) -> Vector:
        """On each node the pods that all the terms mean."""
        names = None if any(term.namespace_selector is not None for term in terms) else terms[0].namespaces
        tally = self._tallies.found(
            (terms, overlook),
            lambda: Tally(lambda shape: int(all(self.means(term, shape) for term in terms)), overlook, names),
        )
        return tally.counts(self.crowd, self.kernel, self.size)

    def holders(self, holding: Holding) -> Vector:
        """On each node the pods that have this term."""
        part, term = holding
        tally = self._tallies.found(
            holding,
            lambda: Tally(lambda shape: getattr(shape, part).count(term), False, None),
        )
        return tally.counts(self.crowd, self.kernel, self.size)

    def held_against(self, shape: Shape) -> tuple[Holding, ...]:
        """The terms of pods on nodes that mean pods of this shape."""
        return self._holdings.about(shape, self.means)

    @property
    def seen(self) -> tuple[int, int, int]:
        """How much has happened: to pods, to nodes; and how many places there are."""
        return self.crowd.last, self._columns.changes, self.size

    def changed_since(self, seen: tuple[int, int, int]) -> set[int] | None:
        """The places where something happened since then; None: too much to tell."""
        moves, changes, size = seen
        if size != self.size or moves < self.crowd.first or changes < self._columns.first:
            return None
        return self.crowd.places_since(moves) | self._columns.places_since(changes)

    def remembered(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What follows from the sets of pods (`sets`) alone."""
        version, value = self._remembered.found(key, lambda: (self.sets_version, make()))
        if version != self.sets_version:
            value = make()
            self._remembered[key] = (self.sets_version, value)
        return value

    def means(self, term: PodTerm, shape: Shape) -> bool:
        """Whether the term is about pods of this shape."""
        if shape.namespace not in term.namespaces:
            selector = term.namespace_selector
            if selector is None or not selector.matches(self.namespaces.get(shape.namespace) or {}):
                return False
        return term.selector.matches(shape.labels)

    # What changes.

    def put_node(self, node: Node) -> None:
        place = self.places.get(node.name)
        if place is None:
            place = self._new_place(node)
            self.places[node.name] = place
            self.nodes[place] = node
            for pod in self._stray.pop(node.name, {}).values():
                self._seat(place, pod, 1)
        elif self.nodes[place] == node:
            return
        self.nodes[place] = node
        self._columns.changed(place)
        self.touch()

    def remove_node(self, name: str) -> None:
        place = self.places.pop(name, None)
        if place is None:
            return
        for pod in list(self.pods_at[place].values()):
            self._seat(place, pod, -1)
            self._stray.setdefault(name, {})[pod.uid] = pod
        self.nodes[place] = None
        self._free.append(place)
        self._columns.changed(place)
        self.touch()

    def put_pod(self, pod: Pod) -> None:
        """A pod with a node; in place of what was known of it."""
        known = self.pods.get(pod.uid)
        if known is not None:
            alike = known.node == pod.node and known.shape is pod.shape and known.deleting == pod.deleting
            if alike and not pod.ended:
                self.pods[pod.uid] = pod
                self._rack(pod)[pod.uid] = pod
                return
            self.remove_pod(pod.uid)
        if pod.ended or not pod.node:
            return
        self.pods[pod.uid] = pod
        place = self.places.get(pod.node)
        if place is None:
            self._stray.setdefault(pod.node, {})[pod.uid] = pod
        else:
            self._seat(place, pod, 1)
        self.touch()

    def remove_pod(self, uid: str) -> None:
        pod = self.pods.pop(uid, None)
        if pod is None:
            return
        place = self.places.get(pod.node)
        if place is None:
            self._stray.get(pod.node, {}).pop(uid, None)
        else:
            self._seat(place, pod, -1)
        self.touch()

    def nominate(self, pod: Pod | None, uid: str) -> None:
        """A node is kept free for the pod; None: no more."""
        if self.nominated.get(uid) != pod:
            self.touch()
        if pod is None:
            self.nominated.pop(uid, None)
        else:
            self.nominated[uid] = pod

    def put_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        if self.namespaces.get(name) == labels:
            return
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels
        self._tallies.clear()
        self._holdings.forget()
        self.touch()

    def put_set(self, key: Key, kind: str, selector: LabelSelector | None) -> None:
        """A service or a set of pods, and what it selects."""
        there = self.sets.setdefault(key[0], {})
        if there.get((kind, key[1])) == selector:
            return
        if selector is None:
            there.pop((kind, key[1]), None)
        else:
            there[kind, key[1]] = selector
        self.sets_version += 1
        self.touch()

    def touch(self) -> None:
        """Something has changed; also what is beside: storage, sets."""
        self.version += 1
        self.moment += 1

    # How it is kept.

    def _rack(self, pod: Pod) -> dict[str, Pod]:
        place = self.places.get(pod.node)
        return self._stray.setdefault(pod.node, {}) if place is None else self.pods_at[place]

    def _new_place(self, node: Node) -> int:
        if self._free:
            return self._free.pop()
        self.nodes.append(node)
        self.pods_at.append({})
        if len(self.nodes) > self._wide and isinstance(self.kernel, Lists):
            self._widen()
        return len(self.nodes) - 1

    def _widen(self) -> None:
        self.kernel = Arrays()
        self._columns.clear()
        self._tallies.clear()
        self._used.convert(self.kernel)
        self._scoring.convert(self.kernel)

    def _seat(self, place: int, pod: Pod, change: int) -> None:
        """A pod comes to a place (1) or leaves it (-1)."""
        shape = pod.shape
        if change > 0:
            self.pods_at[place][pod.uid] = pod
        else:
            self.pods_at[place].pop(pod.uid, None)
        self._used.add(self.kernel, place, self.size, ONE, change)
        self._used.add(self.kernel, place, self.size, shape.requests, change)
        self._scoring.add(self.kernel, place, self.size, shape.scoring, change)
        self.crowd.move(place, shape, pod.deleting, change)
        for protocol, address, port in shape.ports:
            if change > 0:
                self.ports.setdefault(port, {}).setdefault(pod.uid, {})[protocol, address] = place
            else:
                self.ports.get(port, {}).pop(pod.uid, None)
        if shape.has_affinity:
            self._holdings.add(shape, change)
        self.storage.seat(place, pod, change)


def _there(node: Node) -> bool:
    return True
