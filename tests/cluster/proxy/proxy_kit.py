"""Objects in memory as a reader and watcher, and a network that only remembers: for the proxy's parts alone."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Collection, Iterable
from typing import Any

from boxship.cluster.access import Event, Listing
from boxship.cluster.reconcile.cache import key_of
from boxship.network.services_rules import Frontend, Key


class Objects:
    """All resources of a cluster, by name."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[Any, Any]] = {}
        self.version = 1
        self.watchers: dict[str, asyncio.Queue[Event]] = {}

    def put(self, kind: str, name: str, namespace: str = "default", **body: Any) -> None:
        self.version += 1
        metadata = {"name": name, "namespace": namespace, "resourceVersion": str(self.version)}
        made = {**body, "metadata": {**metadata, **body.get("metadata", {})}}
        self.kinds.setdefault(kind, {})[key_of(made)] = made
        self._tell(kind, Event("MODIFIED", made))

    def remove(self, kind: str, name: str, namespace: str = "default") -> None:
        self._tell(kind, Event("DELETED", self.kinds[kind].pop((namespace, name))))

    def _tell(self, kind: str, event: Event) -> None:
        if kind in self.watchers:
            self.watchers[kind].put_nowait(event)

    async def get(self, kind: str, namespace: str, name: str, *, subresource: str = "") -> Any:
        return self.kinds[kind][namespace, name]

    async def list(self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        self.watchers[kind] = asyncio.Queue()
        return Listing(tuple(self.kinds.get(kind, {}).values()), str(self.version))

    async def watch(
        self, kind: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        while True:
            yield await self.watchers[kind].get()


class Table:
    """The services' table as a mapping; `failures` are raised one after the other."""

    def __init__(self) -> None:
        self.frontends: dict[Key, Frontend] = {}
        self.replaced = 0
        self.failures: list[Exception] = []
        self.inside = (ipaddress.IPv4Network("10.96.0.0/16"),)

    async def replace(self, frontends: Iterable[Frontend]) -> None:
        self._fail()
        self.replaced += 1
        self.frontends = {item.key: item for item in frontends}

    async def change(self, gone: Collection[Key], put: Iterable[Frontend]) -> None:
        self._fail()
        for key in gone:
            del self.frontends[key]
        self.frontends.update((item.key, item) for item in put)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop()


class RememberingNetwork:
    """Looks like network.cluster.ClusterNetwork to those who lead it."""

    def __init__(self) -> None:
        self.services = Table()
        self.states: list[Any] = []
        self.policies = self

    async def reserve(self, subnets: Iterable[str]) -> None:
        self.states.append(sorted(subnets))

    async def lead(self, state: Any) -> None:
        self.states.append(state)


def service(objects: Objects, name: str, address: str, **spec: Any) -> None:
    ports = spec.pop("ports", [{"port": 80, "protocol": "TCP", "targetPort": 8080}])
    status = spec.pop("status", {})
    objects.put(
        "v1/services", name, spec={"clusterIP": address, "clusterIPs": [address], "ports": ports, **spec}, status=status
    )


def endpoints(objects: Objects, name: str, *pods: Any, port: int = 8080, of: str = "") -> None:
    """Of a service; pods are addresses or whole endpoints."""
    objects.put(
        "discovery.k8s.io/v1/endpointslices",
        name,
        metadata={"labels": {"kubernetes.io/service-name": of or name}},
        addressType="IPv4",
        ports=[{"name": "", "port": port, "protocol": "TCP"}],
        endpoints=[pod if isinstance(pod, dict) else {"addresses": [pod]} for pod in pods],
    )
