"""Objects in memory as a reader and watcher, and a network that only remembers: for the proxy's parts alone."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Collection, Iterable
from types import SimpleNamespace
from typing import Any

from boxship.cluster.access import Event, Listing
from boxship.cluster.reconcile.cache import key_of
from boxship.network.policies_rules import Change
from boxship.network.policies_standing import Standing
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


class Rules:
    """Reads the commands that lead the policies' table, and refuses what the kernel would."""

    def __init__(self) -> None:
        self.sets: dict[str, set[str]] = {}
        self.chains: dict[str, list[str]] = {}

    def run(self, text: str) -> None:
        for line in text.splitlines():
            verb, what, _, _, name, *rest = line.split(" ", 5)
            words = rest[0] if rest else ""
            if what == "element":
                self._elements(verb, self.sets[name], words.strip("{} ").split(", "))
            elif (verb, what) == ("add", "set"):
                assert name not in self.sets
                self.sets[name] = set()
            elif (verb, what) == ("add", "chain"):
                assert name not in self.chains
                self.chains[name] = []
            elif (verb, what) == ("add", "rule"):
                self._check(words)
                self.chains[name].append(words)
            elif (verb, what) == ("flush", "chain"):
                self.chains[name] = []
            elif (verb, what) == ("delete", "chain"):
                del self.chains[name]
                assert not any(name in text.split() for found in self._texts() for text in found), "it is in use"
            else:
                assert (verb, what) == ("delete", "set"), line
                del self.sets[name]
                assert not any(f"@{name}" in text for found in self.chains.values() for text in found), "it is in use"

    def _texts(self) -> list[list[str]]:
        return [*self.chains.values(), *(sorted(self.sets.get(name, ())) for name in ("incoming", "outgoing"))]

    def _check(self, rule: str) -> None:
        assert all(word[1:] in self.sets for word in rule.split() if word.startswith("@")), rule
        assert not rule.startswith("jump ") or rule.split()[1] in self.chains, rule

    def _elements(self, verb: str, present: set[str], found: list[str]) -> None:
        if verb == "add":
            present.update(found)
            return
        keys = {item.split(" : ")[0]: item for item in present}
        for item in found:
            present.remove(keys[item])


class Policies:
    """The policies' table, without a kernel."""

    def __init__(self) -> None:
        self.standing = Standing(())
        self.rules = Rules()
        self.changes: list[Change] = []
        self.failures: list[Exception] = []
        self.there = False

    async def replace(self, change: Change) -> None:
        self.standing, self.rules = Standing(()), Rules()
        self.rules.sets |= {"incoming": set(), "outgoing": set()}
        await self.change(change)

    async def change(self, change: Change) -> None:
        await asyncio.sleep(0)
        self.there = True
        self.changes.append(change)
        self.rules.run(self.standing.take("t", change))
        if self.failures:
            raise self.failures.pop()

    async def stands(self) -> bool:
        return self.there

    @property
    def groups(self) -> list[frozenset[str]]:
        return list(self.standing.sets.values())

    def walled(self, direction: str) -> list[str]:
        """The addresses that a policy is about."""
        return sorted(self.standing.maps[direction])


class RememberingNetwork:
    """Looks like network.cluster.ClusterNetwork to those who lead it."""

    def __init__(self) -> None:
        self.services = Table()
        self.states: list[Any] = []
        self.policies = Policies()
        self.routes = SimpleNamespace(others=0)

    async def reserve(self, subnets: Iterable[str]) -> None:
        self.states.append(sorted(subnets))


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
