"""Binds claims and volumes: looks at one of them, decides (`binding`), writes one thing, and looks again.

What it has written counts before its caches show it. Before a volume is released, its claim is asked for by the API:
a cache that lags must never cost anybody's data.
"""

from collections.abc import Iterator, Mapping, Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.storage import matching
from boxship.cluster.controllers.storage.binding import CLAIM, VOLUME, News, Step, next_of_claim, next_of_volume
from boxship.cluster.controllers.workloads.writing import Newest
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events

CLASSES = "storage.k8s.io/v1/storageclasses"
STEPS = 8  # of one object at a time; the way to Bound has four
Place = tuple[str, Key]  # the resource and the key


class Binder:
    name = "persistent-volume-binder"
    workers = 1

    def __init__(self, client: Client, claims: Cache, volumes: Cache, classes: Cache, events: Events) -> None:
        self.caches: Sequence[Cache] = (claims, volumes, classes)
        self.queue: Queue[Place] = Queue()
        self._client = client
        self._claims, self._volumes, self._classes = claims, volumes, classes
        self._events = events
        self._newest = {CLAIM: Newest(), VOLUME: Newest()}
        self._told: dict[str, News] = {}  # the last word about an object, by its uid
        self._pending: set[Key] = set()  # claims that are not bound; one that names its volume is one of them
        claims.subscribe(self._claim_changed)
        volumes.subscribe(self._volume_changed)
        classes.subscribe(self._class_changed)

    async def reconcile(self, place: Place) -> None:
        resource, key = place
        for _ in range(STEPS):
            step = await (self._of_claim(key) if resource == CLAIM else self._of_volume(key))
            if not await self._take(step):
                return
        self.queue.add(place)

    async def _of_claim(self, key: Key) -> Step:
        claim = self._known(CLAIM, key)
        if claim is None:
            return Step()
        step = next_of_claim(claim, _Newer(self._volumes, self._newest[VOLUME]), self._all_classes())
        if step.news is not None:
            self._tell(claim, step.news)
        return step

    async def _of_volume(self, key: Key) -> Step:
        volume = self._known(VOLUME, key)
        if volume is None:
            return Step()
        reference = matching.reference_of(volume)
        claim = None
        if reference.get("uid"):
            place = (reference.get("namespace", ""), reference.get("name", ""))
            claim = self._known(CLAIM, place)
            if claim is None or claim["metadata"]["uid"] != reference["uid"]:
                claim = await self._asked(place)
        step = next_of_volume(volume, claim)
        if step.news is not None:
            self._tell(volume, step.news)
        return step

    async def _take(self, step: Step) -> bool:
        """Whether anything was written."""
        if step.object is None:
            return False
        metadata = step.object["metadata"]
        if step.delete:
            await self._client.delete(step.resource, "", metadata["name"], uid=metadata["uid"])
            return False
        written = await self._client.update(step.resource, step.object, subresource="status" if step.status else "")
        self._newest[step.resource].wrote(written)
        return True

    async def _asked(self, key: Key) -> Object | None:
        try:
            return await self._client.get(CLAIM, *key)
        except Failure as failure:
            if failure.reason != "NotFound":
                raise
            return None

    def _known(self, resource: str, key: Key) -> Object | None:
        cache = self._claims if resource == CLAIM else self._volumes
        return self._newest[resource].of(key, cache.get(key))

    def _all_classes(self) -> Mapping[str, Object]:
        return {name: found for (_, name), found in self._classes.items()}

    def _tell(self, about: Object, news: News) -> None:
        """Once, until there is something else to say."""
        uid = about["metadata"]["uid"]
        if self._told.get(uid) != news:
            self._told[uid] = news
            self._events.tell(about, news.type, news.reason, news.message)

    def _claim_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        gone = new is None or matching.BIND_COMPLETED in matching.annotations_of(new)
        self._pending.discard(key) if gone else self._pending.add(key)
        self.queue.add((CLAIM, key))
        for claim in (old, new):
            if claim is not None and claim["spec"].get("volumeName"):
                self.queue.add((VOLUME, ("", claim["spec"]["volumeName"])))
        if new is None and old is not None:
            self._told.pop(old["metadata"]["uid"], None)

    def _volume_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        self.queue.add((VOLUME, key))
        for volume in (old, new):
            claim = matching.key_of_reference(volume) if volume is not None else None
            if claim is not None:
                self.queue.add((CLAIM, claim))
        if new is not None and not matching.reference_of(new):
            self._look_again()
        if new is None and old is not None:
            self._told.pop(old["metadata"]["uid"], None)

    def _class_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._look_again()

    def _look_again(self) -> None:
        for key in self._pending:
            self.queue.add((CLAIM, key))


class _Newer(Mapping[str, Object]):
    """Volumes by name, as they were written last: looked up when they are asked for."""

    def __init__(self, cache: Cache, newest: Newest) -> None:
        self._cache = cache
        self._newest = newest

    def __getitem__(self, name: str) -> Object:
        found = self._newest.of(("", name), self._cache.get(("", name)))
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for _, name in self._cache.keys())  # noqa: SIM118 - a cache is no dict

    def __len__(self) -> int:
        return len(self._cache)
