"""What has happened to an object, or to everything in a namespace, since some time: the changes one by one, and what
they come to. Read from the store's history, which is kept for a configurable time.

Who made a change is what its managed fields say; who asked for a deletion is in the audit only.
"""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.differences import operations, told
from boxship.cluster.api.pace import Pace
from boxship.cluster.api.storage import ROOT, Storage, decode, key_of, place_of, prefix_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import bad_request, expired
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.times import stamp
from boxship.store import Change, Compacted, Entry

CHANGES_LIMIT = 1000  # told at once, the newest
# What changes by itself all the time is told only if it is asked for by its kind.
RESTLESS = {"events", "leases", "services/endpoints", "endpointslices", "masterleases"}


class Scope(msgspec.Struct, frozen=True):
    """What is asked about: one object, all of a kind (in a namespace), or, without a resource, all in a namespace."""

    resource: Resource | None = None
    namespace: str = ""
    name: str = ""


class Step(msgspec.Struct, frozen=True):
    """One change: `action` is created, changed or deleted; `by` names managers; `operations` is a JSON patch."""

    revision: int
    time: str
    action: str
    resource: str
    namespace: str
    name: str
    by: tuple[str, ...]
    operations: tuple[dict[str, Any], ...]


class Turn(msgspec.Struct, frozen=True):
    """What all changes of one object come to: its state before them and now (None: not there). `version` is what is
    there now."""

    resource: Resource
    namespace: str
    name: str
    before: Object | None
    after: Object | None
    version: int


class History:
    """Looks back. Values are opened; who may see them is decided before."""

    def __init__(self, storage: Storage, catalog: Catalog) -> None:
        self._storage = storage
        self._catalog = catalog

    async def steps(self, scope: Scope, since: datetime) -> list[Step]:
        """The changes since a time, the oldest first. Raises Failure."""
        resources = self._resources()
        newest: deque[tuple[Resource, Change]] = deque(maxlen=CHANGES_LIMIT)
        pace = Pace()
        async for change in self._past(scope, since):
            resource = self._of_key(resources, change.key)
            if resource is not None and _about(scope, resource, change.key):
                newest.append((resource, change))
            if pace.due:
                await pace.rest()
        found = []
        for resource, change in newest:
            step = self._step(resource, change)
            found.append(step if step.time else await self._timed(step))
            if pace.due:
                await pace.rest()
        return found

    async def turns(self, scope: Scope, since: datetime) -> list[Turn]:
        """What has become of each object that was changed since a time. Raises Failure."""
        resources = self._resources()
        firsts: dict[str, tuple[Resource, Entry | None]] = {}
        pace = Pace()
        async for change in self._past(scope, since):
            if change.key not in firsts:
                resource = self._of_key(resources, change.key)
                if resource is not None and _about(scope, resource, change.key):
                    firsts[change.key] = (resource, change.previous)
            if pace.due:
                await pace.rest()
        turns = []
        for key, (resource, first) in firsts.items():
            namespace, name = place_of(resource, key)
            entry = await self._storage.get(resource, namespace, name)
            before, after = _object(first), _object(entry)
            if pace.due:
                await pace.rest()
            if told(before) != told(after):
                version = entry.modified if entry is not None else 0
                turns.append(Turn(resource, namespace, name, before, after, version))
        return turns

    async def _past(self, scope: Scope, since: datetime) -> AsyncIterator[Change]:
        """The changes that may be about the scope, opened. Raises Failure."""
        store = self._storage.store
        if scope.resource is None:
            if not scope.namespace:
                raise bad_request("say of which object or namespace")
            prefix = ROOT
        elif scope.name:
            prefix = key_of(scope.resource, scope.namespace, scope.name)
        else:
            prefix = prefix_of(scope.resource, scope.namespace)
        try:
            after = await store.revision_at(since.timestamp())
            until = await store.revision()
            async for change in store.past(prefix, after=after, until=until):
                if _in_namespace(scope, change.key):
                    yield self._storage.opened_change(change)
        except Compacted:
            raise expired(f"what has been before {stamp(since)} is not kept any more; ask for a shorter time") from None

    def _step(self, resource: Resource, change: Change) -> Step:
        namespace, name = place_of(resource, change.key)
        before, after = _object(change.previous), None
        if change.value is not None:
            after = decode(change.value, change.revision)
        action = "deleted" if after is None else "changed" if before is not None else "created"
        writers = _writers(before, after)
        return Step(
            revision=change.revision,
            time=max((time for _, time in writers), default=""),
            action=action,
            resource=resource.path,
            namespace=namespace,
            name=name,
            by=tuple(dict.fromkeys(who for who, _ in writers)),
            operations=tuple(operations(told(before), told(after))) if action == "changed" else (),
        )

    async def _timed(self, step: Step) -> Step:
        """The step with the time at which the store made it."""
        try:
            made = await self._storage.store.time_at(step.revision)
        except Compacted:
            return step
        return msgspec.structs.replace(step, time=stamp(datetime.fromtimestamp(made, UTC))) if made else step

    def _resources(self) -> Mapping[str, Resource]:
        """By storage, each in the version in which it is stored."""
        found: dict[str, Resource] = {}
        for resource in self._catalog.all():
            if resource.stored and (resource.storage not in found or resource.api_version == resource.storage_version):
                found[resource.storage] = resource
        return found

    def _of_key(self, resources: Mapping[str, Resource], key: str) -> Resource | None:
        first, _, rest = key[len(ROOT) :].partition("/")
        return resources.get(first) or resources.get(f"{first}/{rest.partition('/')[0]}")


def since(clock: Clock, seconds: float) -> datetime:
    """The time so many seconds ago."""
    return clock.now() - timedelta(seconds=seconds)


def _in_namespace(scope: Scope, key: str) -> bool:
    """Whether a key can be about the scope, before anybody looks at its value."""
    if scope.resource is not None:
        return not scope.name or key == key_of(scope.resource, scope.namespace, scope.name)
    return f"/{scope.namespace}/" in key or key == f"{ROOT}namespaces/{scope.namespace}"


def _about(scope: Scope, resource: Resource, key: str) -> bool:
    """Whether the key is of an object that is asked about."""
    if scope.resource is not None:
        return True
    namespace, name = place_of(resource, key)
    if resource.qualified == "namespaces":
        return name == scope.namespace
    return resource.namespaced and namespace == scope.namespace and resource.storage not in RESTLESS


def _object(entry: Entry | None) -> Object | None:
    return decode(entry.value, entry.modified) if entry is not None else None


def _writers(before: Object | None, after: Object | None) -> list[tuple[str, str]]:
    """Who wrote what is new in `after`, and when."""
    if after is None:
        return []
    known = (before or {}).get("metadata", {}).get("managedFields") or []
    differ = [entry for entry in after["metadata"].get("managedFields") or [] if entry not in known]
    # An entry that differs with its old time has only lost fields, unless its writer wrote twice in a second.
    times = {(entry.get("manager"), entry.get("subresource"), entry.get("time")) for entry in known}
    new = [
        entry for entry in differ if (entry.get("manager"), entry.get("subresource"), entry.get("time")) not in times
    ]
    found = []
    for entry in new or differ:
        part = f"/{entry['subresource']}" if entry.get("subresource") else ""
        found.append((f"{entry.get('manager', '')}{part}", entry.get("time", "")))
    return found
