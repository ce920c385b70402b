"""Follows every kind that is served, and lets objects go with their owners.

Three sorts of key are settled, whatever happened before: an object whose owners should be looked at, an owner that
waits for its dependents, and one whose dependents are to stay.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from boxship.cluster.access import Client, Discovery, Event, Listing
from boxship.cluster.controllers.garbage.decisions import (
    FOREGROUND,
    ORPHAN,
    Delete,
    Release,
    State,
    decide,
    orphans,
    state_of,
    waits,
    without_blocking,
    without_finalizer,
    without_owners,
)
from boxship.cluster.controllers.garbage.graph import Graph, Owner, Place, owners_of, place_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, internal
from boxship.cluster.objects.resource import Resource
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.following import Source, follow, others_first
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

IGNORED = ("events",)  # by storage: they own nothing and are owned by nothing
SLICE = 20  # objects before others have their turn
GONE = ("NotFound",)
Key = tuple[str, Place]  # OBJECT or OWNER, and which
OBJECT, OWNER = "object", "owner"


class GarbageCollector:
    """`reader` lists and watches, `client` reads and writes as the collector itself. Who else wants to hear of every
    change of every kind need not follow them again: `also`."""

    name = "generic-garbage-collector"
    workers = 8
    caches: Sequence[Cache] = ()

    def __init__(
        self, client: Client, reader: Source, discovery: Discovery, also: Callable[[str, Event], None] = lambda *_: None
    ) -> None:
        self.also = also
        self._client = client
        self._reader = reader
        self._discovery = discovery
        self._graph = Graph()
        self._exists: dict[str, str] = {}  # uid of an owner that was seen → its resource's path
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._unlisted: set[str] = set()
        self._listed = asyncio.Event()
        self.queue: Queue[Key] = Queue()

    async def run(self) -> None:
        """Without end: follow what is served, as it changes."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                changed = tasks.create_task(self._discovery.changed())  # before we look, so that nothing is missed
                self._follow_served(tasks)
                await changed

    async def reconcile(self, key: Key) -> Again | None:
        await self._listed.wait()
        sort, place = key
        live = await self._found(place.resource, place.namespace, place.name)
        if live is None or live["metadata"].get("uid") != place.uid:
            self._graph.wait_no_more(place.uid)
            if sort == OBJECT:
                self._forget(place)  # the watch will tell, but who waits for it may go on now
            return None
        if sort == OWNER:
            await self._settle_owner(place, live)
        else:
            await self._settle_object(place, live)
        return None

    async def _settle_object(self, place: Place, live: Object) -> None:
        """One that names owners: it stays with those that exist, or goes."""
        if live["metadata"].get("deletionTimestamp") and not waits(live):
            return
        owners = owners_of(live)
        if not owners:
            return
        if waits(live):
            self.queue.add((OWNER, place))
            return
        states: dict[str, State] = {}
        for owner in owners:
            state = await self._owner_state(place, owner)
            if state is None:
                return  # a cluster's object cannot be owned by one in a namespace: nobody can tell whether that exists
            if state is State.WAITING and self._graph.waiting(owner.uid) is None and self._is_followed(owner):
                return  # we are behind, and may not know all dependents: the news of the owner brings us back here
            states[owner.uid] = state
        dependents = self._graph.dependents(place.uid)
        step = decide(live, owners, states, [self._graph.waiting(one.uid) is not None for one in dependents])
        if isinstance(step, Release):
            await self._patch(place, without_owners(live, step.uids))
        elif isinstance(step, Delete):
            if step.unblock:
                live = await self._patch(place, without_blocking(live)) or live
            await self._delete(place, live, step.propagation)

    async def _settle_owner(self, place: Place, live: Object) -> None:
        """One that is deleted, and asks what becomes of its dependents."""
        if orphans(live):
            for dependent in self._graph.dependents(place.uid):
                await self._release(dependent, place.uid)
            await self._patch(place, without_finalizer(live, ORPHAN))
        elif waits(live):
            self._graph.wait(place)
            blocking = self._graph.blocking(place.uid)
            for dependent in blocking:
                if not self._graph.is_going(dependent):
                    self.queue.add((OBJECT, dependent))
            if not blocking:
                self._graph.wait_no_more(place.uid)
                await self._patch(place, without_finalizer(live, FOREGROUND))

    async def _release(self, dependent: Place, uid: str) -> None:
        live = await self._found(dependent.resource, dependent.namespace, dependent.name)
        if live is None or live["metadata"].get("uid") != dependent.uid:
            return
        if any(owner.uid == uid for owner in owners_of(live)):
            await self._patch(dependent, without_owners(live, [uid]))

    async def _owner_state(self, place: Place, owner: Owner) -> State | None:
        """What an owner is; None: that cannot be known."""
        resource = self._resource_of(owner)
        if resource is None:
            raise internal(f"unable to get REST mapping for {owner.api_version}/{owner.kind}.")
        if resource.namespaced and not place.namespace:
            return None
        live = await self._found(resource.path, place.namespace if resource.namespaced else "", owner.name)
        state = state_of(live, owner.uid)
        if state is State.SOLID:
            self._exists[owner.uid] = resource.path
        return state

    def _is_followed(self, owner: Owner) -> bool:
        resource = self._resource_of(owner)
        return resource is not None and bool(followable([resource]))

    def _resource_of(self, owner: Owner) -> Resource | None:
        for resource in self._discovery.resources():
            if resource.kind == owner.kind and resource.api_version == owner.api_version and resource.stored:
                return resource
        return None

    async def _found(self, resource: str, namespace: str, name: str) -> Object | None:
        try:
            return await self._client.get(resource, namespace, name)
        except Failure as failure:
            if failure.reason not in GONE:
                raise
            return None

    async def _patch(self, place: Place, patch: Object) -> Object | None:
        try:
            return await self._client.patch(place.resource, place.namespace, place.name, patch)
        except Failure as failure:
            if failure.reason not in GONE:
                raise
            return None

    async def _delete(self, place: Place, live: Object, propagation: str) -> None:
        version = live["metadata"]["resourceVersion"]
        try:
            await self._client.delete(
                place.resource, place.namespace, place.name, uid=place.uid, version=version, propagation=propagation
            )
        except Failure as failure:
            if failure.reason not in GONE:
                raise

    def _follow_served(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to follow new kinds, end with those that are gone."""
        served = followable(self._discovery.resources())
        for path in [path for path in self._followed if path not in served]:
            self._followed.pop(path).cancel()
            self._note_listed(path)
            for place in self._graph.of_resource(path):
                self._forget(place)
        for path in served:
            if path not in self._followed:
                if not self._listed.is_set():
                    self._unlisted.add(path)
                follower = follow(self._reader, path, _Follower(self, path))
                self._followed[path] = tasks.create_task(follower)

    async def listed(self, path: str, pages: AsyncIterator[Listing]) -> None:
        """For followers: all objects of a kind as they are now. What went meanwhile is told as gone, and owners of the
        kind are looked at again by their dependents."""
        known = set(self._graph.of_resource(path))
        count = 0
        async for page in pages:
            for item in page.items:
                place = place_of(path, item)
                known.discard(place)
                self.seen(place, item)
                count += 1
                if count % SLICE == 0:
                    await others_first()
        for place in known:
            self._forget(place)
        for uid in [uid for uid, resource in self._exists.items() if resource == path]:
            del self._exists[uid]
            self._look_at_dependents(uid)
        self._note_listed(path)

    def seen(self, place: Place, object: Object) -> None:
        """An object is so now."""
        owners = owners_of(object)
        gone = {owner.uid for owner in self._graph.owners(place)} - {owner.uid for owner in owners}
        if owners or gone:
            is_going = bool(object["metadata"].get("deletionTimestamp"))
            new = self._graph.put(place, owners, is_going=is_going)
            if any(uid not in self._exists for uid in new):
                self.queue.add((OBJECT, place))
            self._look_at_waiting([*gone, *(owner.uid for owner in owners)])
        if waits(object) or orphans(object):
            if waits(object):
                self._graph.wait(place)
                self._look_at_dependents(place.uid)
            self.queue.add((OWNER, place))

    def gone(self, place: Place) -> None:
        """An object is not there any more."""
        self._exists.pop(place.uid, None)
        self._graph.wait_no_more(place.uid)
        self._forget(place)
        self._look_at_dependents(place.uid)

    def _forget(self, place: Place) -> None:
        owners = [owner.uid for owner in self._graph.owners(place)]
        self._graph.remove(place)
        self._look_at_waiting(owners)

    def _look_at_dependents(self, uid: str) -> None:
        for dependent in self._graph.dependents(uid):
            self.queue.add((OBJECT, dependent))

    def _look_at_waiting(self, uids: Sequence[str]) -> None:
        """Owners that wait for one of theirs."""
        for uid in uids:
            owner = self._graph.waiting(uid)
            if owner is not None:
                self.queue.add((OWNER, owner))

    def _note_listed(self, path: str) -> None:
        self._unlisted.discard(path)
        if not self._unlisted:
            self._listed.set()


class _Follower:
    """Tells the collector of one kind."""

    def __init__(self, collector: GarbageCollector, path: str) -> None:
        self._collector = collector
        self._path = path

    async def listed(self, pages: AsyncIterator[Listing]) -> None:
        await self._collector.listed(self._path, pages)

    def changed(self, event: Event) -> None:
        place = place_of(self._path, event.object)
        if event.type == "DELETED":
            self._collector.gone(place)
        else:
            self._collector.seen(place, event.object)
        self._collector.also(self._path, event)


def followable(resources: Sequence[Resource]) -> dict[str, Any]:
    """One path for each kind of stored object that can be listed, watched and deleted."""
    found: dict[str, str] = {}
    for resource in resources:
        if resource.stored and resource.storage not in IGNORED and {"list", "watch", "delete"} <= set(resource.verbs):
            found.setdefault(resource.storage, resource.path)
    return dict.fromkeys(found.values())
