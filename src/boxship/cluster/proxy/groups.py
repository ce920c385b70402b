"""Which pods are in which group, and which sockets have which name: kept as pods and namespaces come, change and go. A
group's addresses are a new value only when they have changed. Pure but for what it remembers."""

from collections.abc import Iterable, Mapping

from boxship.cluster.proxy.walls import Group, Key, Labels, PodFacts, socket_key


class Members:
    """The addresses of the groups and the sockets that are wanted, among all pods of the cluster."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._named: frozenset[tuple[str, str]] = frozenset()
        self._pods: dict[Key, PodFacts] = {}
        self._spaces: dict[str, set[Key]] = {}  # pods by namespace
        self._labels: dict[str, Labels] = {}  # of namespaces
        self._found: dict[str, dict[Key, str]] = {}  # group → pod → address
        self._sockets: dict[str, dict[Key, str]] = {}
        self._values: dict[str, frozenset[str]] = {}
        self._socket_values: dict[str, frozenset[str]] = {}

    def want(self, groups: Iterable[Group], named: Iterable[tuple[str, str]]) -> None:
        """What is wanted from now on; others are forgotten."""
        wanted = {group.name: group for group in groups}
        for name in self._groups.keys() - wanted.keys():
            del self._groups[name]
            self._found.pop(name, None)
            self._values.pop(name, None)
        for name, group in wanted.items():
            if name not in self._groups:
                self._groups[name] = group
                self._found[name] = {
                    key: pod.address for key, pod in self._pods.items() if group.matches(key[0], self._of(key[0]), pod)
                }
        fresh = frozenset(named)
        if fresh != self._named:
            self._named = fresh
            self._sockets = {}
            self._socket_values = {}
            for key, pod in self._pods.items():
                self._put_sockets(key, pod)

    def _of(self, namespace: str) -> Labels | None:
        return self._labels.get(namespace)

    def put_pod(self, key: Key, pod: PodFacts | None) -> None:
        """None: it is gone, or ended."""
        if pod is None:
            if self._pods.pop(key, None) is not None:
                self._spaces[key[0]].discard(key)
        else:
            self._pods[key] = pod
            self._spaces.setdefault(key[0], set()).add(key)
        self._sort(key, pod)
        for name, sockets in self._sockets.items():
            if sockets.pop(key, None) is not None:
                self._socket_values.pop(name, None)
        if pod is not None:
            self._put_sockets(key, pod)

    def put_namespace(self, name: str, labels: Labels | None) -> None:
        if labels is None:
            self._labels.pop(name, None)
        else:
            self._labels[name] = labels
        for key in self._spaces.get(name, ()):
            self._sort(key, self._pods[key])

    def _sort(self, key: Key, pod: PodFacts | None) -> None:
        """Put a pod into the groups that it belongs to now."""
        for name, group in self._groups.items():
            found = self._found[name]
            address = pod.address if pod is not None and group.matches(key[0], self._of(key[0]), pod) else None
            if found.get(key) != address:
                self._values.pop(name, None)
                if address is None:
                    del found[key]
                else:
                    found[key] = address

    def _put_sockets(self, key: Key, pod: PodFacts) -> None:
        for (name, protocol), port in pod.named.items():
            if (name, protocol) in self._named:
                place = socket_key(name, protocol)
                self._sockets.setdefault(place, {})[key] = f"{pod.address} . {protocol} . {port}"
                self._socket_values.pop(place, None)

    def groups(self) -> Mapping[str, frozenset[str]]:
        for name, found in self._found.items():
            if name not in self._values:
                self._values[name] = frozenset(found.values())
        return dict(self._values)

    def sockets(self) -> Mapping[str, frozenset[str]]:
        for name, protocol in self._named:
            place = socket_key(name, protocol)
            if place not in self._socket_values:
                self._socket_values[place] = frozenset(self._sockets.get(place, {}).values())
        return dict(self._socket_values)
