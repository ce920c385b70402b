"""Controllers at work: keys come from the caches, go through a queue, and are given to the controller until it says
that it is done. The pauses between tries grow, for each key by itself."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.queue import Queue
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 60.0  # seconds
STALE = ("Conflict", "AlreadyExists")  # somebody else wrote: look again, nothing to tell


class Again(msgspec.Struct, frozen=True):
    """A controller's word that it wants to see the key once more."""

    seconds: float


class Controller(Protocol):
    """One controller. It subscribes `queue.add` to its caches when it is made."""

    @property
    def name(self) -> str: ...

    @property
    def queue(self) -> Queue[Any]: ...

    @property
    def caches(self) -> Sequence[Cache]:
        """What must be known before it begins."""

    @property
    def workers(self) -> int: ...

    async def reconcile(self, key: Any) -> Again | None:
        """Bring what the key names to where it should be. May be called at any time, for things that are gone, too."""


class Runner:
    """Runs controllers, each once. `parts` run beside them, without end."""

    def __init__(self, controllers: Sequence[Controller], parts: Sequence[Callable[[], Awaitable[None]]] = ()) -> None:
        self.controllers = tuple(controllers)
        self._parts = tuple(parts)
        self._pauses: dict[tuple[str, Any], float] = {}

    async def run(self) -> None:
        """Without end: all caches, then all controllers as soon as what they read is there."""
        caches = {id(cache): cache for controller in self.controllers for cache in controller.caches}
        async with asyncio.TaskGroup() as tasks:
            for cache in caches.values():
                tasks.create_task(cache.run())
            for controller in self.controllers:
                tasks.create_task(self._run(controller))
            for part in self._parts:
                tasks.create_task(_forever(part))

    @property
    def is_idle(self) -> bool:
        """Nothing is to be done now; for tests."""
        return all(controller.queue.is_idle for controller in self.controllers)

    async def _run(self, controller: Controller) -> None:
        for cache in controller.caches:
            await cache.ready()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(controller.workers):
                tasks.create_task(self._work(controller))

    async def _work(self, controller: Controller) -> None:
        while True:
            key = await controller.queue.take()
            try:
                await self._reconcile(controller, key)
            finally:
                controller.queue.done(key)
            await asyncio.sleep(0)  # what needed no waiting must not keep requests waiting

    async def _reconcile(self, controller: Controller, key: Any) -> None:
        try:
            again = await controller.reconcile(key)
        except Failure as failure:
            if failure.reason not in STALE:
                log.warning("%s: cannot settle %s: %s", controller.name, key, failure)
            controller.queue.add_later(key, self._pause(controller, key, failure.retry_after))
        except BoxshipError as error:
            log.warning("%s: cannot settle %s: %s", controller.name, key, error)
            controller.queue.add_later(key, self._pause(controller, key))
        except Exception:
            log.exception("%s: cannot settle %s", controller.name, key)
            controller.queue.add_later(key, self._pause(controller, key))
        else:
            self._pauses.pop((controller.name, key), None)
            if again is not None:
                controller.queue.add_later(key, again.seconds)

    def _pause(self, controller: Controller, key: Any, least: float = 0.0) -> float:
        place = (controller.name, key)
        pause = self._pauses.get(place, FIRST_PAUSE)
        self._pauses[place] = min(pause * 2, LONGEST_PAUSE)
        return max(pause * random.uniform(0.8, 1.2), least)


async def _forever(part: Callable[[], Awaitable[None]]) -> None:
    await part()
