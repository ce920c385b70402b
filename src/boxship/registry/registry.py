"""The registry: the one face of the room, and the task that lets things end with time."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from boxship.content import Content, Garbage
from boxship.errors import BoxshipError
from boxship.registry import removal
from boxship.registry.caching import Caching
from boxship.registry.deleting import Deleting
from boxship.registry.local import LocalImages, Upstream
from boxship.registry.model import SECOND, Settings, Totals
from boxship.registry.policy import Policy, Rules
from boxship.registry.pushing import Pushing
from boxship.registry.reading import Reading
from boxship.registry.repositories import Repositories
from boxship.registry.repository import Repository
from boxship.registry.retention import overdue
from boxship.store import Store

BATCH = 200  # tags whose end is decided at once, repositories looked at in one turn

log = logging.getLogger(__name__)


class Registry:
    """All repositories of one instance: `reading`, `pushing` and `deleting` are its operations. `recover` comes first,
    before the collector's sweep; `run` goes on beside."""

    def __init__(
        self,
        content: Content,
        garbage: Garbage,
        store: Store,
        settings: Settings | None = None,
        *,
        policy: Policy | None = None,
        local: LocalImages | None = None,
        upstreams: Mapping[str, Upstream] | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.settings = settings or Settings()
        self.policy = policy or Policy()
        self._now = now
        self._garbage = garbage
        self.repositories = Repositories(store, garbage)
        self.reading = Reading(content, self.repositories, self.settings, self.policy, local, now)
        self.pushing = Pushing(content, garbage, self.repositories, self.reading, self.settings, self.policy, now)
        self.caching = Caching(
            content, garbage, self.repositories, self.reading, self.pushing, self.policy, upstreams or {}, now
        )
        self.deleting = Deleting(self.repositories, self.reading, self.policy)

    async def recover(self) -> None:
        """Read what is stored and claim what it names; find the uploads that can go on."""
        await self.repositories.load()
        await self.pushing.uploads.recover()

    async def run(self) -> None:
        """One task for as long as the daemon lives: what was kept for a time ends when that is over."""
        while True:
            await asyncio.sleep(self.settings.look_seconds)
            try:
                await self.expire()
            except BoxshipError as error:
                log.error("cannot take away what is over: %s", error)

    async def expire(self) -> None:
        """Take away what was kept for a time that is over now."""
        if len(self.pushing.uploads):
            await self.pushing.uploads.forget_old()
        for number, repository in enumerate(self.repositories):
            if number % BATCH == 0:
                await asyncio.sleep(0)  # others have a turn, however many repositories there are
            rules = self.policy.of(repository.name)
            if repository.has_ending or rules.keep_tags is not None or rules.keep_for is not None:
                await self._expire(repository, rules)

    async def _expire(self, repository: Repository, rules: Rules) -> None:
        now = self._now()
        if repository.pushed_at + int(self.settings.touch_seconds * SECOND) <= now:
            repository.touches.expire(now)
        keep = int(self.settings.lapsed_seconds * SECOND) if rules.keep_lapsed is None else rules.keep_lapsed
        fresh = now - int(self.settings.fresh_seconds * SECOND)
        try:
            async with repository.lock:
                for tags in _batches(overdue(repository, rules, now)):
                    for step in removal.steps(removal.plan_tags(repository, tags)):
                        await self.repositories.commit(repository, step)
                change = removal.plan_lapsed(repository, now - keep)
                change.hidden = dict.fromkeys(self.reading.outlived(repository))
                if repository.pushed_at <= fresh:
                    over = [digest for digest, blob in repository.fresh.items() if blob.pushed_at <= fresh]
                    change.fresh = dict.fromkeys(over)
                for step in removal.steps(change):
                    await self.repositories.commit(repository, step)
        finally:
            self.repositories.tidy(repository)

    def totals(self) -> Totals:
        """What there is, for metrics."""
        own = list(self.repositories)
        return Totals(
            uploads=len(self.pushing.uploads),
            repositories=sum(repository.shows() for repository in own),
            tags=sum(len(repository.tags) for repository in own),
            manifests=sum(len(repository.manifests) for repository in own),
            blobs=sum(repository.blobs for repository in own),
            fresh=sum(len(repository.fresh) for repository in own),
            size=sum(repository.size for repository in own),
            waiting=self._garbage.waiting,
            deleted_manifests=self.repositories.deleted_manifests,
            deleted_tags=self.repositories.deleted_tags,
        )


def _batches(tags: list[str]) -> list[list[str]]:
    return [tags[start : start + BATCH] for start in range(0, len(tags), BATCH)]
