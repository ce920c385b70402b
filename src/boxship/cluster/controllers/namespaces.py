"""A namespace that is deleted goes when nothing is left in it: first its pods, then everything else of every kind that
is served, custom ones too. What keeps it is told in its conditions, in the original's words (kubernetes.io,
"Namespaces")."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from boxship.cluster.access import Client, Discovery
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.resource import Resource
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

FINALIZER = "kubernetes"
PODS = "pods"
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds between looks at what does not go
AT_ONCE = 8  # deletions
CONDITIONS = {  # type → (reason when it holds, reason when not, message when not)
    "NamespaceDeletionDiscoveryFailure": (
        "DiscoveryFailed", "ResourcesDiscovered", "All resources successfully discovered",
    ),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "GroupVersionParsingFailed", "ParsedGroupVersions", "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeletionFailed", "ContentDeleted", "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("SomeResourcesRemain", "ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": (
        "SomeFinalizersRemain", "ContentHasNoFinalizers", "All content-preserving finalizers finished",
    ),
}  # fmt: skip


class Left(msgspec.Struct, frozen=True):
    """What is still in a namespace: how many objects of each resource, how many wait for each finalizer, and what
    could not be deleted."""

    remaining: dict[str, int]
    finalizers: dict[str, int]
    failures: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.remaining and not self.failures

    def messages(self) -> dict[str, str]:
        """The conditions that hold, with what they say."""
        found = {}
        if self.failures:
            failed = f"Failed to delete all resource types, {len(self.failures)} remaining: "
            found["NamespaceDeletionContentFailure"] = failed + ", ".join(self.failures)
        if self.remaining:
            each = [f"{name} has {count} resource instances" for name, count in sorted(self.remaining.items())]
            found["NamespaceContentRemaining"] = f"Some resources are remaining: {', '.join(each)}"
        if self.finalizers:
            each = [f"{name} in {count} resource instances" for name, count in sorted(self.finalizers.items())]
            found["NamespaceFinalizersRemaining"] = (
                f"Some content in the namespace has finalizers remaining: {', '.join(each)}"
            )
        return found


class Namespaces:
    name = "namespace-controller"
    workers = 4

    def __init__(self, client: Client, namespaces: Cache, discovery: Discovery, now: Any) -> None:
        self._client = client
        self._namespaces = namespaces
        self._discovery = discovery
        self._now = now
        self._pauses: dict[str, float] = {}
        self.caches = (namespaces,)
        self.queue: Queue[str] = Queue()
        namespaces.subscribe(self._changed)

    async def reconcile(self, name: str) -> Again | None:
        namespace = self._namespaces.get(("", name))
        if not is_ending(namespace):
            self._pauses.pop(name, None)
            return None
        left = await self._empty(name)
        if left.is_empty:
            self._pauses.pop(name, None)
            await self._finish(name)
            return None
        await self._tell(namespace, left)
        pause = self._pauses.get(name, FIRST_PAUSE)
        self._pauses[name] = min(pause * 1.5, LONGEST_PAUSE)
        return Again(pause)

    async def _empty(self, name: str) -> Left:
        """Delete what there is; what is left after that."""
        resources = deletable(self._discovery.resources())
        pods = [resource for resource in resources if resource.storage == PODS]
        left = await self._delete(name, pods)
        return left if not left.is_empty else await self._delete(name, resources)

    async def _delete(self, name: str, resources: Sequence[Resource]) -> Left:
        remaining: Counter[str] = Counter()
        finalizers: Counter[str] = Counter()
        failures: list[str] = []
        for resource in resources:
            try:
                if await self._delete_all(name, resource):
                    for item in (await self._client.list(resource.path, name)).items:
                        remaining[f"{resource.qualified}."] += 1
                        finalizers.update(item["metadata"].get("finalizers") or ())
            except Failure as failure:
                if failure.reason not in ("NotFound", "MethodNotAllowed"):
                    failures.append(f"{resource.qualified}: {failure}")
        return Left(dict(remaining), dict(finalizers), tuple(failures))

    async def _delete_all(self, name: str, resource: Resource) -> bool:
        """Whether there was anything."""
        items = (await self._client.list(resource.path, name)).items
        going = [item["metadata"] for item in items if not item["metadata"].get("deletionTimestamp")]
        for begin in range(0, len(going), AT_ONCE):
            await asyncio.gather(*(self._delete_one(resource, one) for one in going[begin : begin + AT_ONCE]))
            await asyncio.sleep(0)  # a large namespace must not keep requests waiting
        return bool(items)

    async def _delete_one(self, resource: Resource, metadata: Object) -> None:
        try:
            await self._client.delete(
                resource.path,
                metadata["namespace"],
                metadata["name"],
                uid=metadata["uid"],
                propagation="Background",
            )
        except Failure as failure:
            if failure.reason not in ("NotFound", "Conflict"):
                raise

    async def _finish(self, name: str) -> None:
        """Nothing keeps it any more."""
        try:
            current = await self._client.get("v1/namespaces", "", name)
        except Failure as failure:
            if failure.reason == "NotFound":
                return
            raise
        if not is_ending(current):
            return
        kept = [one for one in current["spec"]["finalizers"] if one != FINALIZER]
        finished = {**current, "spec": {**current["spec"], "finalizers": kept}}
        await self._client.update("v1/namespaces", finished, subresource="finalize")

    async def _tell(self, namespace: Object, left: Left) -> None:
        conditions = told(namespace, left, self._now())
        if conditions is None:
            return
        status = {**(namespace.get("status") or {}), "conditions": conditions}
        await self._client.update("v1/namespaces", {**namespace, "status": status}, subresource="status")

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if is_ending(new) and not is_ending(old):
            self.queue.add(key[1])


def is_ending(namespace: Object | None) -> bool:
    """Whether a namespace is deleted and waits for us."""
    if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
        return False
    return FINALIZER in ((namespace.get("spec") or {}).get("finalizers") or ())


def deletable(resources: Sequence[Resource]) -> list[Resource]:
    """One resource for each kind of stored object that lies in namespaces."""
    found: dict[str, Resource] = {}
    for resource in resources:
        if resource.namespaced and resource.stored and {"list", "delete"} <= set(resource.verbs):
            found.setdefault(resource.storage, resource)
    return list(found.values())


def told(namespace: Object, left: Left, now: str) -> list[Object] | None:
    """The conditions as they should be; None: they are."""
    known = {one["type"]: one for one in (namespace.get("status") or {}).get("conditions") or ()}
    messages = left.messages()
    wanted = []
    for kind, (holds, holds_not, message) in CONDITIONS.items():
        state = "True" if kind in messages else "False"
        condition = {
            "type": kind,
            "status": state,
            "lastTransitionTime": known.get(kind, {}).get("lastTransitionTime", now),
            "reason": holds if kind in messages else holds_not,
            "message": messages.get(kind, message),
        }
        if known.get(kind, {}).get("status") != state:
            condition["lastTransitionTime"] = now
        wanted.append(condition)
    others = [one for kind, one in known.items() if kind not in CONDITIONS]
    return None if wanted == [known.get(kind) for kind in CONDITIONS] else [*others, *wanted]
