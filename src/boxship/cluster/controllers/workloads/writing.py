"""How controllers write: many at once but not all, statuses only where they differ, and what was written is known
before the cache has it, so that no decision stands on anything older than the controller's own last word."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.kinds.comparing import same
from boxship.cluster.reconcile.cache import Key
from boxship.errors import BoxshipError

AT_ONCE = 16  # requests
BURST = 500  # pods that one turn of a controller creates or deletes


class Newest:
    """The last version of each object that we wrote, until the cache has it or a newer one."""

    def __init__(self) -> None:
        self._written: dict[Key, Object] = {}

    def of(self, key: Key, cached: Object | None) -> Object | None:
        written = self._written.get(key)
        if written is None:
            return cached
        if cached is None or cached["metadata"]["uid"] != written["metadata"]["uid"]:
            del self._written[key]
            return cached
        if version_of(cached) >= version_of(written):
            del self._written[key]
            return cached
        return written

    def wrote(self, object: Object) -> Object:
        metadata = object["metadata"]
        self._written[(metadata.get("namespace", ""), metadata["name"])] = object
        return object


def version_of(object: Object) -> int:
    text = object["metadata"].get("resourceVersion", "")
    return int(text) if text.isdigit() else 0


async def in_batches(count: int, act: Callable[[int], Awaitable[Any]]) -> tuple[int, BoxshipError | None]:
    """Do `act(0)` … in batches of 1, 2, 4 …, and stop after a batch in which one failed: what cannot work is not tried
    five hundred times. How many were done, and the first failure."""
    done, size, first = 0, 1, 0
    while first < count:
        batch = range(first, min(first + size, count))
        failures = await together([functools.partial(act, index) for index in batch])
        done += len(batch) - len(failures)
        if failures:
            return done, failures[0]
        first, size = batch.stop, size * 2
    return done, None


async def together(acts: Sequence[Callable[[], Awaitable[Any]]]) -> list[BoxshipError]:
    """All of them, a few at a time; what failed."""
    room = asyncio.Semaphore(AT_ONCE)
    failures: list[BoxshipError] = []

    async def do(act: Callable[[], Awaitable[Any]]) -> None:
        async with room:
            try:
                await act()
            except BoxshipError as error:
                failures.append(error)

    if len(acts) == 1:
        await do(acts[0])
    else:
        await asyncio.gather(*map(do, acts))
    return failures


def is_namespace_ending(error: BoxshipError) -> bool:
    return isinstance(error, Failure) and error.reason == "Forbidden" and "being terminated" in str(error)


def trimmed(status: Object) -> Object:
    """Without what is zero, empty or absent: as two statuses are compared."""
    return {key: value for key, value in status.items() if value not in (None, 0, "", [], {}, False)}


def same_status(one: Object, other: Object) -> bool:
    return same(trimmed(one), trimmed(other))


async def write_status(client: Client, resource: str, object: Object, status: Object) -> Object | None:
    """Write it unless it is so already (None). Where somebody else changed the object meanwhile, the same status is
    written to what it is now: only one controller writes it."""
    if same_status(object.get("status") or {}, status):
        return None
    for _ in range(3):
        try:
            return await client.update(resource, {**object, "status": status}, subresource="status")
        except Failure as failure:
            if failure.reason != "Conflict":
                raise
            metadata = object["metadata"]
            current = await client.get(resource, metadata.get("namespace", ""), metadata["name"])
            if current["metadata"]["uid"] != metadata["uid"]:
                raise
            object = current
    return await client.update(resource, {**object, "status": status}, subresource="status")
