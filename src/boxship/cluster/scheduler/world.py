"""The snapshot: nodes and the pods on them as one moment knows them, kept up to date by small changes. Each node has a
place; vectors have one number for each place.

Vectors that follow from nodes alone ("columns") and counts of pods ("tallies") are computed when they are first asked
for, and afterwards only where something changed. A decision only reads; who carries it out tells the world of it.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from boxship.cluster.objects.selectors import LabelSelector
from boxship.cluster.scheduler.nodes import Node
from boxship.cluster.scheduler.shapes import Key, Pod, PodTerm, Shape
from boxship.cluster.scheduler.storage import Storage
from boxship.cluster.scheduler.tallies import TALLIES, Crowd, Kept, Tally
from boxship.cluster.scheduler.vectors import WIDE, Arrays, Kernel, Lists, Vector

COLUMNS = 1024  # that are kept
PODS = "pods"  # the resource that every pod takes one of
Holding = tuple[str, PodTerm]  # "near", "apart" or "wishes", and the term


class Column:
    """One number for each node, of the node alone."""

    def __init__(self, compute: Callable[[Node], Any], empty: Any) -> None:
        self.compute = compute
        self.empty = empty
        self.seen = -1
        self.vector: Vector = None


class Domains:
    """The values of one label as small numbers; 0: the node has no such label."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.codes: dict[str, int] = {}

    def code(self, node: Node) -> int:
        value = node.labels.get(self.key)
        return 0 if value is None else self.codes.setdefault(value, len(self.codes) + 1)


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
        self.crowd = Crowd()
        self._pods: dict[str, Pod] = {}
        self._stray: dict[str, dict[str, Pod]] = {}  # pods on nodes that are not known
        self._free: list[int] = []
        self._changed: list[int] = []  # places whose node changed, in order
        self._columns = Kept(COLUMNS)
        self._tallies = Kept(TALLIES)
        self._domains: dict[str, Domains] = {}
        self._used: dict[str, Vector] = {}
        self._scoring: dict[str, Vector] = {}
        self._holding: dict[Holding, int] = {}
        self._holding_version = 0
        self._meant: dict[Shape, tuple[int, tuple[Holding, ...]]] = {}
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

    def pod(self, uid: str) -> Pod | None:
        return self._pods.get(uid)

    def pods(self) -> Iterable[Pod]:
        return self._pods.values()

    @property
    def present(self) -> Vector:
        return self.column("present", _there, False)

    def column(self, key: Hashable, compute: Callable[[Node], Any], empty: Any = 0) -> Vector:
        """Not to be changed. `key` stands for what `compute` does."""
        column = self._columns.found(key, lambda: Column(compute, empty))
        if column.seen != len(self._changed):
            self._refresh(column)
        return column.vector

    def domains(self, key: str) -> tuple[Vector, int]:
        """Of a label: each node's value as a number (0: it has none), and one more than the greatest number."""
        domains = self._domains.setdefault(key, Domains(key))
        codes = self.column(("label", key), domains.code)
        return codes, len(domains.codes) + 1

    def allocatable(self, resource: str) -> Vector:
        return self.column(("allocatable", resource), lambda node: node.allocatable.get(resource, 0))

    def used(self, resource: str) -> Vector:
        return self._sums(self._used, resource)

    def scoring(self, resource: str) -> Vector:
        """As `used`, with what is assumed of pods that ask for nothing."""
        return self._sums(self._scoring, resource)

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
        version, found = self._meant.get(shape, (-1, ()))
        if version != self._holding_version:
            if len(self._meant) > TALLIES:
                self._meant.clear()
            found = tuple(holding for holding in self._holding if self.means(holding[1], shape))
            self._meant[shape] = (self._holding_version, found)
        return found

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
        self._node_changed(place)

    def remove_node(self, name: str) -> None:
        place = self.places.pop(name, None)
        if place is None:
            return
        for pod in list(self.pods_at[place].values()):
            self._seat(place, pod, -1)
            self._stray.setdefault(name, {})[pod.uid] = pod
        self.nodes[place] = None
        self._free.append(place)
        self._node_changed(place)

    def put_pod(self, pod: Pod) -> None:
        """A pod with a node; in place of what was known of it."""
        known = self._pods.get(pod.uid)
        if known is not None:
            alike = known.node == pod.node and known.shape is pod.shape and known.deleting == pod.deleting
            if alike and not pod.ended:
                self._pods[pod.uid] = pod
                self._rack(pod)[pod.uid] = pod
                return
            self.remove_pod(pod.uid)
        if pod.ended or not pod.node:
            return
        self._pods[pod.uid] = pod
        place = self.places.get(pod.node)
        if place is None:
            self._stray.setdefault(pod.node, {})[pod.uid] = pod
        else:
            self._seat(place, pod, 1)
        self._touch()

    def remove_pod(self, uid: str) -> None:
        pod = self._pods.pop(uid, None)
        if pod is None:
            return
        place = self.places.get(pod.node)
        if place is None:
            self._stray.get(pod.node, {}).pop(uid, None)
        else:
            self._seat(place, pod, -1)
        self._touch()

    def nominate(self, pod: Pod | None, uid: str) -> None:
        """A node is kept free for the pod; None: no more."""
        if self.nominated.get(uid) != pod:
            self._touch()
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
        self._holding_version += 1
        self._touch()

    @contextlib.contextmanager
    def without(self, pods: Iterable[Pod]) -> Iterator[None]:
        """As if these pods were gone, inside the block."""
        version, taken = self.version, list(pods)
        for pod in taken:
            self.remove_pod(pod.uid)
        try:
            yield
        finally:
            for pod in taken:
                self.put_pod(pod)
            self.version = version

    @contextlib.contextmanager
    def including(self, pods: Iterable[Pod]) -> Iterator[None]:
        """As if these pods were where they say, inside the block."""
        version, added = self.version, list(pods)
        for pod in added:
            self.put_pod(pod)
        try:
            yield
        finally:
            for pod in added:
                self.remove_pod(pod.uid)
            self.version = version

    def changed(self) -> None:
        """Something that decides was changed beside: storage, sets."""
        self._touch()

    # How it is kept.

    def _touch(self) -> None:
        self.version += 1
        self.moment += 1

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
        for sums in (self._used, self._scoring):
            for resource, vector in sums.items():
                sums[resource] = self.kernel.of(vector)

    def _node_changed(self, place: int) -> None:
        self._touch()
        self._changed.append(place)
        if len(self._changed) > 2 * self.size + 1000:
            self._changed.clear()
            self._columns.clear()

    def _refresh(self, column: Column) -> None:
        size = self.size
        if column.seen < 0 or column.vector is None or len(self._changed) - column.seen > size:
            column.vector = self.kernel.of(
                column.empty if node is None else column.compute(node) for node in self.nodes
            )
        else:
            if len(column.vector) < size:
                column.vector = self.kernel.longer(column.vector, size - len(column.vector), column.empty)
            for place in set(self._changed[column.seen :]):
                node = self.nodes[place]
                column.vector[place] = column.empty if node is None else column.compute(node)
        column.seen = len(self._changed)

    def _sums(self, sums: dict[str, Vector], resource: str) -> Vector:
        vector = sums.get(resource)
        if vector is None:
            vector = sums[resource] = self.kernel.full(self.size, 0)
        elif len(vector) < self.size:
            vector = sums[resource] = self.kernel.longer(vector, self.size - len(vector), 0)
        return vector

    def _seat(self, place: int, pod: Pod, change: int) -> None:
        """A pod comes to a place (1) or leaves it (-1)."""
        shape = pod.shape
        if change > 0:
            self.pods_at[place][pod.uid] = pod
        else:
            self.pods_at[place].pop(pod.uid, None)
        self._sums(self._used, PODS)[place] += change
        for resource, amount in shape.requests.items():
            self._sums(self._used, resource)[place] += change * amount
        for resource, amount in shape.scoring.items():
            self._sums(self._scoring, resource)[place] += change * amount
        self.crowd.move(place, shape, pod.deleting, change)
        for protocol, address, port in shape.ports:
            if change > 0:
                self.ports.setdefault(port, {}).setdefault(pod.uid, {})[protocol, address] = place
            else:
                self.ports.get(port, {}).pop(pod.uid, None)
        if shape.has_affinity:
            for part in ("near", "apart", "wishes"):
                for term in getattr(shape, part):
                    self._hold((part, term), change)
        self.storage.seat(place, pod, change)

    def _hold(self, holding: Holding, change: int) -> None:
        left = self._holding.get(holding, 0) + change
        if left == change == 1 or not left:
            self._holding_version += 1
        if left:
            self._holding[holding] = left
        else:
            del self._holding[holding]


def _there(node: Node) -> bool:
    return True
