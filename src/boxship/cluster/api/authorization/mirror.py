"""A memory of some keys of the store that follows it, and can be brought up to this moment when that matters.

Changes come by the store's watch; who is about to refuse something asks `refresh` first, which reads whatever the watch
has not told yet. So a right that was granted holds at once, on whichever server the next request arrives.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from boxship.cluster.api.storage import Storage, decode, place_of, prefix_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.resource import Resource
from boxship.errors import BoxshipError
from boxship.store import Compacted, Entry

log = logging.getLogger(__name__)

Told = Callable[[Resource, str, str, Object | None], None]  # resource, namespace, name, the object or None: it is gone
SLICE = 200  # objects decoded before others have their turn
GONE_LIMIT = 1000  # keys of one resource
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0  # seconds, while the store cannot be read


class Mirror:
    """Tells `told` of each object of the resources, first of all that there are (`load`), then of each change. The
    order of changes to one key is kept, and none is told twice. `within` holds a resource (by its plural) to one
    namespace."""

    def __init__(
        self, storage: Storage, resources: Sequence[Resource], told: Told, within: Mapping[str, str] | None = None
    ) -> None:
        self._storage = storage
        self._resources = {prefix_of(each, (within or {}).get(each.plural, "")): each for each in resources}
        self._told = told
        self._read = dict.fromkeys(self._resources, 0)  # prefix → revision up to which all is told
        self._known: dict[str, int] = {}  # key → revision of what was told of it
        # For each prefix: key → revision of its deletion, while something older may still be told.
        self._gone: dict[str, dict[str, int]] = {prefix: {} for prefix in self._resources}
        self._reads = 0  # at work: what they began with may be older than what was told since
        self._loading = asyncio.Lock()
        self.is_loaded = False

    async def load(self) -> None:
        """Everything as it is now; what was told before and is gone is told as gone."""
        async with self._loading:
            if self.is_loaded:
                return
            for prefix in self._resources:
                await self._list(prefix)
            self.is_loaded = True

    async def follow(self) -> None:
        """Without end: tell of each change."""
        await self.load()
        async with asyncio.TaskGroup() as tasks:
            for prefix in self._resources:
                tasks.create_task(self._follow(prefix))

    async def refresh(self) -> bool:
        """Tell of everything up to this moment; whether there was anything new."""
        newest = await self._storage.store.revision()
        changed = False
        for prefix, known in self._read.items():
            if known >= newest:
                continue
            try:
                with self._reading():
                    async for change in self._storage.store.past(prefix, after=known, until=newest):
                        changed |= self._tell(prefix, change.key, change.value, change.revision)
            except Compacted:
                await self._list(prefix)
                changed = True
            self._read[prefix] = max(self._read[prefix], newest)
        return changed

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        self._reads += 1
        try:
            yield
        finally:
            self._reads -= 1

    async def _follow(self, prefix: str) -> None:
        pause = FIRST_PAUSE
        while True:
            begun = self._read[prefix]
            try:
                async for change in self._storage.store.watch(prefix, after=self._read[prefix]):
                    if change.revision > self._read[prefix]:
                        self._tell(prefix, change.key, change.value, change.revision)
                        self._read[prefix] = max(self._read[prefix], change.revision - 1)
            except Compacted:
                with contextlib.suppress(BoxshipError):  # then the watch says so again
                    await self._list(prefix)
            except BoxshipError as error:
                log.warning("cannot follow %s: %s", prefix, error)
            pause = FIRST_PAUSE if self._read[prefix] > begun else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _list(self, prefix: str) -> None:
        with self._reading():
            await self._tell_all(prefix)

    async def _tell_all(self, prefix: str) -> None:
        snapshot = await self._storage.list(prefix)
        keys = set()
        for count, entry in enumerate(snapshot.entries, 1):
            keys.add(entry.key)
            self._tell(prefix, entry.key, entry.value, entry.modified)
            if count % SLICE == 0:
                await asyncio.sleep(0)
        for key in [key for key in self._known if key.startswith(prefix) and key not in keys]:
            self._tell(prefix, key, None, snapshot.revision)
        self._read[prefix] = max(self._read[prefix], snapshot.revision)

    def _tell(self, prefix: str, key: str, value: bytes | None, revision: int) -> bool:
        gone = self._gone[prefix]
        if revision <= max(self._known.get(key, 0), gone.get(key, 0)):
            return False
        resource = self._resources[prefix]
        namespace, name = place_of(resource, key)
        if value is None:
            gone[key] = revision
            if self._known.pop(key, None) is None:
                return False
            self._told(resource, namespace, name, None)
            if len(gone) > GONE_LIMIT:
                self._forget(prefix)
            return True
        self._known[key] = revision
        gone.pop(key, None)
        self._told(resource, namespace, name, self._opened(key, value, revision))
        return True

    def _opened(self, key: str, value: bytes, revision: int) -> Object | None:
        """None for what cannot be read: it grants nothing, and must not keep all others from being known."""
        try:
            return decode(self._storage.opened(Entry(key, value, revision, revision)).value, revision)
        except (BoxshipError, msgspec.MsgspecError, KeyError, TypeError) as error:
            log.error("cannot read %s, which counts for nothing: %s", key, error)
            return None

    def _forget(self, prefix: str) -> None:
        """What is gone for so long that nothing older can be told of it any more."""
        if not self._reads:
            gone, read = self._gone[prefix], self._read[prefix]
            self._gone[prefix] = {key: revision for key, revision in gone.items() if revision > read}
