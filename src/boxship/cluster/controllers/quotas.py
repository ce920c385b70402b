"""What is used of resource quotas, counted from the objects themselves. Admission charges each write; this puts right
what goes without one: deletions, pods that ended, limits that were changed (kubernetes.io, "Resource Quotas")."""

from collections.abc import Callable, Sequence
from datetime import datetime

from boxship.cluster.access import Client, Discovery, Event
from boxship.cluster.objects import Object
from boxship.cluster.objects.quota import overdue_at, total_usage
from boxship.cluster.objects.resource import Resource
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

RESOURCE = "v1/resourcequotas"
AFTER_WRITE = 1.0  # seconds: a write was charged already, this only looks whether it came about
RESYNC = 300.0
ENDED = ("Succeeded", "Failed")


class ResourceQuotas:
    """`told` is to be called with every change of every kind."""

    name = "resourcequota-controller"
    workers = 2

    def __init__(self, client: Client, quotas: Cache, discovery: Discovery, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now
        self._quotas = quotas
        self._discovery = discovery
        self._named: dict[str, set[Key]] = {}  # namespace → its quotas
        self.caches = (quotas,)
        self.queue: Queue[Key] = Queue()
        quotas.subscribe(self._changed)

    def told(self, resource: str, event: Event) -> None:
        keys = self._named.get(event.object["metadata"].get("namespace", ""))
        if not keys or resource == RESOURCE:
            return
        frees = event.type == "DELETED" or (event.object.get("status") or {}).get("phase") in ENDED
        for key in keys:
            self.queue.add_later(key, 0.0 if frees else AFTER_WRITE)

    async def reconcile(self, key: Key) -> Again | None:
        quota = self._quotas.get(key)
        if quota is None or quota["metadata"].get("deletionTimestamp"):
            return None
        hard = (quota.get("spec") or {}).get("hard") or {}
        counted = resources_for(hard, self._discovery.resources())
        objects = [
            (resource, item) for resource in counted for item in (await self._client.list(resource.path, key[0])).items
        ]
        now = self._now()
        status = {"hard": hard, "used": total_usage(quota, objects, now)}
        if (quota.get("status") or {}) != status:
            await self._client.update(RESOURCE, {**quota, "status": status}, subresource="status")
        return Again(min(RESYNC, until_overdue(objects, now) + AFTER_WRITE))

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._named.get(key[0], set()).discard(key)
            if not self._named.get(key[0]):
                self._named.pop(key[0], None)
            return
        self._named.setdefault(key[0], set()).add(key)
        if old is None or old.get("spec") != new.get("spec") or (new.get("status") or {}).get("hard") is None:
            self.queue.add(key)


def until_overdue(objects: Sequence[tuple[Resource, Object]], now: datetime) -> float:
    """Seconds until the next of the pods that are to go should have gone."""
    ends = [overdue_at(each) for resource, each in objects if resource.path == "v1/pods"]
    return min(((end - now).total_seconds() for end in ends if end is not None and end >= now), default=RESYNC)


def resources_for(hard: Sequence[str] | dict[str, str], resources: Sequence[Resource]) -> list[Resource]:
    """The resources whose objects count for the names of a quota."""
    wanted = {_counted(name) for name in hard}
    found: dict[str, Resource] = {}
    for resource in resources:
        if resource.namespaced and resource.stored and resource.qualified in wanted:
            found.setdefault(resource.qualified, resource)
    return list(found.values())


def _counted(name: str) -> str:
    """The qualified resource behind one name of `hard`."""
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name.startswith("services"):
        return "services"
    if "storageclass.storage.k8s.io/" in name or name in ("requests.storage", "persistentvolumeclaims"):
        return "persistentvolumeclaims"
    plain = ("configmaps", "secrets", "replicationcontrollers", "resourcequotas", "pods")
    return name if name in plain else "pods"
