"""Which pods are in which group, and which sockets have which name: kept as pods and namespaces come, change and go,
and told as what has changed. Pure but for what it remembers.

What is told here is only noted; `steps` does the sorting, a match at a time, so that whoever runs it can give others
their turn however many pods and groups there are.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator

import msgspec

from boxship.cluster.proxy.walls import Group, Labels, PodFacts, socket_key

Flips = dict[str, bool]  # element → whether it is in


class Places:
    """Elements of one set, each as long as some pod stands for it."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}  # pod → its element
        self._counts: Counter[str] = Counter()
        self.flips: Flips = {}  # since they were taken

    def put(self, pod: str, element: str) -> bool:
        """ "": none any more. Whether it was another one before."""
        old = self._of.get(pod, "")
        if old == element:
            return False
        if old:
            self._counts[old] -= 1
            if not self._counts[old]:
                del self._counts[old]
                self.flips[old] = False
        if element:
            self._of[pod] = element
            self._counts[element] += 1
            self.flips[element] = True
        else:
            del self._of[pod]
        return True

    def keep(self, pods: Container[str]) -> None:
        """No others stand for anything."""
        for pod in [pod for pod in self._of if pod not in pods]:
            self.put(pod, "")


class Sets:
    """Places by name, as long as somebody wants them."""

    def __init__(self) -> None:
        self.places: dict[str, Places] = {}
        self._wanted: Counter[str] = Counter()
        self._gone: dict[str, Places] = {}
        self._moved: dict[str, None] = {}

    def want(self, name: str, pods: Container[str]) -> bool:
        """Whether it is the first time: then all pods have to be put."""
        self._wanted[name] += 1
        if self._wanted[name] > 1:
            return False
        places = self.places[name] = self._gone.pop(name) if name in self._gone else Places()
        places.keep(pods)
        self._moved[name] = None  # what it is to hold is not known before
        return True

    def release(self, name: str) -> bool:
        """Whether it was the last time."""
        self._wanted[name] -= 1
        if self._wanted[name]:
            return False
        del self._wanted[name]
        self._gone[name] = self.places.pop(name)
        return True

    def put(self, name: str, pod: str, element: str) -> None:
        places = self.places.get(name)  # None: given up meanwhile
        if places is not None and places.put(pod, element):
            self._moved[name] = None

    def take(self) -> dict[str, Flips | None]:
        """What has come to them and left them since the last time; None: one is forgotten."""
        found: dict[str, Flips | None] = dict.fromkeys(self._gone)
        moved, self._gone, self._moved = self._moved, {}, {}
        for name in moved:
            places = self.places.get(name)
            if places is not None and places.flips:
                found[name], places.flips = places.flips, {}
        return found


class Pod(msgspec.Struct, frozen=True):
    """As it is known here; `facts` None: it is gone."""

    namespace: str
    facts: PodFacts | None


class Members:
    """The addresses of the groups and the sockets that are wanted, among all pods of the cluster (by uid)."""

    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}
        self._spaces: dict[str, dict[str, None]] = {}  # pods by namespace
        self._labels: dict[str, Labels] = {}  # of namespaces
        self._groups: dict[str, Group] = {}
        self._within: dict[str, dict[str, None]] = {}  # groups by the one namespace that they are about; "": any
        self._in_groups, self._in_sockets = Sets(), Sets()
        self._sockets_of: dict[str, list[str]] = {}  # by pod
        self._unsorted: dict[str, None] = {}

    def want(self, groups: Iterable[Group], named: Iterable[tuple[str, str]]) -> None:
        """One policy more wants them."""
        for group in groups:
            if self._in_groups.want(group.name, self._pods):
                self._groups[group.name] = group
                self._within.setdefault(group.namespace, {})[group.name] = None
                self._unsorted.update(self._spaces.get(group.namespace, {}) if group.namespace else self._every())
        for key in named:
            if self._in_sockets.want(socket_key(*key), self._pods):
                self._unsorted.update(self._every())

    def release(self, groups: Iterable[Group], named: Iterable[tuple[str, str]]) -> None:
        """One policy less wants them."""
        for group in groups:
            if self._in_groups.release(group.name):
                del self._groups[group.name], self._within[group.namespace][group.name]
        for key in named:
            self._in_sockets.release(socket_key(*key))

    def _every(self) -> dict[str, None]:
        return dict.fromkeys(self._pods)

    def put_pod(self, uid: str, namespace: str, facts: PodFacts | None) -> None:
        """None: it is gone."""
        known = self._pods.get(uid)
        if facts is None:
            if known is None or known.facts is None:
                return
            self._spaces[namespace].pop(uid, None)
            if not self._spaces[namespace]:
                del self._spaces[namespace]
        else:
            self._spaces.setdefault(namespace, {})[uid] = None
        self._pods[uid] = Pod(namespace, facts)
        self._unsorted[uid] = None

    def put_namespace(self, name: str, labels: Labels | None) -> None:
        if labels is None:
            self._labels.pop(name, None)
        else:
            self._labels[name] = labels
        self._unsorted.update(self._spaces.get(name, {}))

    @property
    def is_settled(self) -> bool:
        return not self._unsorted

    def steps(self) -> Iterator[None]:
        """Put pods where they belong now, one match a step, until all are. What is told meanwhile counts."""
        while self._unsorted:
            uid, _ = self._unsorted.popitem()
            pod = self._pods[uid]
            for name in (*self._within.get(pod.namespace, ()), *self._within.get("", ())):
                self._sort(uid, pod, name)
                yield
            self._sort_sockets(uid, pod.facts)
            if pod.facts is None and uid not in self._unsorted:
                del self._pods[uid]
            yield

    def _sort(self, uid: str, pod: Pod, name: str) -> None:
        group, facts = self._groups.get(name), pod.facts
        if group is None:  # given up meanwhile
            return
        is_in = facts is not None and group.matches(pod.namespace, self._labels.get(pod.namespace), facts)
        self._in_groups.put(name, uid, facts.address if is_in and facts is not None else "")

    def _sort_sockets(self, uid: str, facts: PodFacts | None) -> None:
        found: dict[str, str] = {}
        if facts is not None and facts.address:
            for (name, protocol), port in facts.named.items():
                found[socket_key(name, protocol)] = f"{facts.address} . {protocol} . {port}"
        for key in (*self._sockets_of.pop(uid, ()), *found):
            self._in_sockets.put(key, uid, found.get(key, ""))
        if found:
            self._sockets_of[uid] = list(found)

    def take_groups(self) -> dict[str, Flips | None]:
        """What has come to groups and left them since the last time; None: the group is forgotten."""
        return self._in_groups.take()

    def take_sockets(self) -> dict[str, Flips | None]:
        return self._in_sockets.take()
