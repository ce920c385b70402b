"""List a resource, then watch it from there; list again where the watch cannot go on. Without end: what the API refuses
or cannot do now is tried again, with growing pauses."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Protocol

from boxship.cluster.access import Event, Listing, Pager, Reader, Watcher
from boxship.cluster.objects.failure import Failure
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 10.0  # seconds
SLICE_SECONDS = 0.001  # of telling changes, before others have their turn
# Of the loop, that others have between slices of a long list: a request needs several, and would meet a slice in each.
TURNS = 4
TOO_OLD = 410


class Source(Reader, Watcher, Protocol):
    """Where it is read."""


class Listener(Protocol):
    """Who is told. Changes of one object come in their order."""

    async def listed(self, pages: AsyncIterator[Listing]) -> None:
        """Everything as it is now, in pieces, all of which have to be read: at the beginning, and after a gap. What the
        reading raises goes on; then everything comes again, from its first piece."""

    def changed(self, event: Event) -> None:
        """ADDED, MODIFIED or DELETED; what was listed may come again."""


async def follow(
    source: Source,
    resource: str,
    listener: Listener,
    *,
    labels: str = "",
    fields: str = "",
    pace: Callable[[], float] = time.perf_counter,
) -> None:
    """Without end. Raises what the listener raises. `pace`: the clock by which others have their turn."""
    pause = FIRST_PAUSE
    version = ""
    heard = True  # anything of a watch since the last list that one asked for
    while True:
        try:
            if not version:
                version = await _list(source, resource, listener, labels, fields)
            until = pace() + SLICE_SECONDS
            async for event in source.watch(resource, version=version, labels=labels, fields=fields):
                if event.type != "BOOKMARK":
                    listener.changed(event)
                version = event.object["metadata"]["resourceVersion"]
                pause, heard = FIRST_PAUSE, True
                if pace() > until:  # many may have come at once
                    await asyncio.sleep(0)
                    until = pace() + SLICE_SECONDS
            await asyncio.sleep(pause)  # a watch that ends at once must not spin
            pause = min(pause * 2, LONGEST_PAUSE)
        except BoxshipError as error:
            watched, version = bool(version), ""
            if watched and heard and isinstance(error, Failure) and error.code == TOO_OLD:
                heard = False
                continue  # a list that says so, though, or each watch after a list, would be asked on without a pause
            log.warning("cannot follow %s: %s", resource, error)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, LONGEST_PAUSE)


async def others_first() -> None:
    """Whoever works through thousands of objects lets everybody else on the loop go on in between."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def _list(source: Source, resource: str, listener: Listener, labels: str, fields: str) -> str:
    """Tell the listener of everything; the version to watch from. No more than a piece of it is held."""
    version = ""

    async def pieces() -> AsyncGenerator[Listing, None]:
        nonlocal version
        if isinstance(source, Pager):
            async with contextlib.aclosing(source.pages(resource, labels=labels, fields=fields)) as pages:
                async for page in pages:
                    version = page.version
                    yield page
        else:
            listing = await source.list(resource, labels=labels, fields=fields)
            version = listing.version
            yield listing

    async with contextlib.aclosing(pieces()) as found:
        await listener.listed(found)
    return version
