"""Pods as endpoints see them, and two indexes: the pods that a selector means, and the services that mean a pod. Both
cost as much as there is to be found, not as much as there is in the cluster."""

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Key

ZONE = "topology.kubernetes.io/zone"
ENDED = ("Succeeded", "Failed")

Pairs = frozenset[tuple[str, str]]


class NamedPort(msgspec.Struct, frozen=True, gc=False):
    name: str
    number: int
    protocol: str


class Backend(msgspec.Struct, frozen=True, gc=False):
    """Facts of one pod; equal facts mean that nothing has to be written."""

    namespace: str
    name: str
    uid: str
    labels: Pairs
    address: str = ""
    node: str = ""
    ready: bool = False
    terminating: bool = False
    ended: bool = False
    hostname: str = ""
    subdomain: str = ""
    ports: tuple[NamedPort, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it is an endpoint at all, ready or not."""
        return bool(self.address) and not self.ended

    @property
    def takes(self) -> bool:
        """Whether new requests are led to it."""
        return self.counts and self.ready and not self.terminating

    def port(self, target: Any, protocol: str) -> int:
        """The number that a service's target port means in this pod; 0: there is none."""
        if isinstance(target, int):
            return target
        for port in self.ports:
            if port.name == target and port.protocol == protocol:
                return port.number
        return int(target) if isinstance(target, str) and target.isdigit() else 0


def backend_of(pod: Object) -> Backend:
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    return Backend(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        labels=_interned(frozenset((metadata.get("labels") or {}).items())),
        address=_address(status),
        node=spec.get("nodeName") or "",
        ready=any(one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ()),
        terminating=bool(metadata.get("deletionTimestamp")),
        ended=status.get("phase") in ENDED,
        hostname=spec.get("hostname") or "",
        subdomain=spec.get("subdomain") or "",
        ports=tuple(_named_ports(spec)),
    )


@functools.lru_cache(4096)
def _interned(labels: Pairs) -> Pairs:
    """One and the same for all pods that have these."""
    return labels


def _address(status: Object) -> str:
    """IPv4 only: the cluster has no other addresses."""
    listed = [one.get("ip") or "" for one in status.get("podIPs") or ()] or [status.get("podIP") or ""]
    return next((ip for ip in listed if ip and ":" not in ip), "")


def _named_ports(spec: Object) -> Iterator[NamedPort]:
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    for container in (*(spec.get("containers") or ()), *sidecars):
        for port in container.get("ports") or ():
            if port.get("name"):
                yield NamedPort(port["name"], port.get("containerPort") or 0, port.get("protocol") or "TCP")


def zone_of(node: Object) -> str:
    return str((node["metadata"].get("labels") or {}).get(ZONE) or "")


class Pods:
    """Pods by their labels. Pods with the same labels are one group, so there are few groups and small indexes."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, Pairs], dict[Key, Backend]] = {}
        self._by_pair: dict[tuple[str, str, str], dict[Pairs, None]] = defaultdict(dict)

    def changed(self, key: Key, old: Backend | None, new: Backend | None) -> None:
        """Subscribe it to the pods' cache."""
        if old is not None and (new is None or new.labels != old.labels):
            self._remove(key, old)
        if new is not None:
            self._put(key, new)

    def _put(self, key: Key, pod: Backend) -> None:
        place = (key[0], pod.labels)
        group = self._groups.get(place)
        if group is None:
            group = self._groups[place] = {}
            for name, value in pod.labels:
                self._by_pair[(key[0], name, value)][pod.labels] = None
        group[key] = pod

    def _remove(self, key: Key, pod: Backend) -> None:
        place = (key[0], pod.labels)
        group = self._groups.get(place)
        if group is None:
            return
        group.pop(key, None)
        if group:
            return
        del self._groups[place]
        for name, value in pod.labels:
            pair = (key[0], name, value)
            self._by_pair[pair].pop(pod.labels, None)
            if not self._by_pair[pair]:
                del self._by_pair[pair]

    def selected(self, namespace: str, selector: Mapping[str, str]) -> list[Backend]:
        """In the order of their names."""
        wanted = frozenset(selector.items())
        candidates: Sequence[Pairs] | None = None
        for name, value in wanted:
            found = self._by_pair.get((namespace, name, value), {})
            if candidates is None or len(found) < len(candidates):
                candidates = list(found)
        pods: list[Backend] = []
        for labels in candidates or ():
            if wanted <= labels:
                pods += self._groups[(namespace, labels)].values()
        return sorted(pods, key=lambda pod: pod.name)


class Selectors:
    """Services with a selector, by one pair of it."""

    def __init__(self) -> None:
        self._by_pair: dict[tuple[str, str, str], dict[Key, Pairs]] = defaultdict(dict)

    def changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        """Subscribe it to the services' cache."""
        before, after = selector_of(old), selector_of(new)
        if before == after:
            return
        if before:
            pair = (key[0], *min(before.items()))
            self._by_pair[pair].pop(key, None)
            if not self._by_pair[pair]:
                del self._by_pair[pair]
        if after:
            self._by_pair[(key[0], *min(after.items()))][key] = frozenset(after.items())

    def meaning(self, namespace: str, labels: Pairs) -> Iterator[Key]:
        for name, value in labels:
            for key, wanted in self._by_pair.get((namespace, name, value), {}).items():
                if wanted <= labels:
                    yield key


def selector_of(service: Object | None) -> dict[str, str]:
    """Empty: no controller fills its endpoints."""
    spec = (service or {}).get("spec") or {}
    if spec.get("type") == "ExternalName":
        return {}
    return dict(spec.get("selector") or {})


def affected(selectors: Selectors, key: Key, old: Backend | None, new: Backend | None) -> set[Key]:
    """The services for which a change of a pod means something."""
    if old == new:
        return set()
    found: set[Key] = set()
    for pod in (old, new):
        if pod is not None and pod.counts:
            found.update(selectors.meaning(key[0], pod.labels))
    return found
