"""The APIServices of other servers, in memory, following the store."""

import asyncio

import msgspec

from boxship.cluster.api.authorization.mirror import Mirror
from boxship.cluster.api.storage import Storage
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import GROUP_VERSIONS, built_in
from boxship.cluster.objects.resource import Resource

GROUP = "apiregistration.k8s.io"
RESOURCE = f"{GROUP}/v1/apiservices"
AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"


class Elsewhere(msgspec.Struct, frozen=True):
    """One group and version that another server serves."""

    name: str  # of the APIService
    group: str
    version: str
    namespace: str  # of the Service
    service: str
    port: int
    authority: str  # caBundle, base64
    insecure: bool
    group_priority: int
    version_priority: int
    available: bool

    @property
    def place(self) -> tuple[str, str]:
        return self.group, self.version


class Services:
    """Keep `follow` running. `version` grows with each change that discovery shows."""

    def __init__(self, storage: Storage) -> None:
        resource = built_in(GROUP, "v1", "apiservices")
        assert resource is not None
        self._mirror = Mirror(storage, [resource], self._told)
        self._services: dict[str, Elsewhere] = {}
        self._places: dict[tuple[str, str], Elsewhere] = {}
        self.version = 1
        self.changed = asyncio.Event()

    async def prepare(self) -> None:
        await self._mirror.load()

    async def follow(self) -> None:
        await self._mirror.follow()

    def find(self, group: str, version: str) -> Elsewhere | None:
        """Who serves it; None: this server, or nobody."""
        return self._places.get((group, version))

    def all(self) -> list[Elsewhere]:
        """By group and version, those that matter most first."""
        return sorted(
            self._services.values(),
            key=lambda each: (-each.group_priority, each.group, -each.version_priority, each.version),
        )

    def _told(self, resource: Resource, namespace: str, name: str, object: Object | None) -> None:
        self._services.pop(name, None)
        if object is not None:
            found = read(object)
            if found is not None and not _is_ours(found.group, found.version):
                self._services[name] = found
        self._places = {each.place: each for each in self._services.values()}
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()


def _is_ours(group: str, version: str) -> bool:
    return version in GROUP_VERSIONS.get(group, ())


def read(object: Object) -> Elsewhere | None:
    """An APIService; None for one of this server."""
    spec = object.get("spec") or {}
    service = spec.get("service")
    if service is None:
        return None
    conditions = (object.get("status") or {}).get("conditions") or ()
    available: Object = next((each for each in conditions if each.get("type") == "Available"), {})
    return Elsewhere(
        name=object["metadata"]["name"],
        group=spec.get("group") or "",
        version=spec.get("version") or "",
        namespace=service.get("namespace") or "",
        service=service.get("name") or "",
        port=int(service.get("port") or 443),
        authority=spec.get("caBundle") or "",
        insecure=bool(spec.get("insecureSkipTLSVerify")),
        group_priority=int(spec.get("groupPriorityMinimum") or 0),
        version_priority=int(spec.get("versionPriority") or 0),
        available=available.get("status") == "True",
    )
