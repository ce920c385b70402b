"""Repositories that come from another registry: fetched when they are asked for, verified, kept, looked at again by tag
after a time, and served as they were while the other registry is away.

Their manifests are recorded as pushed ones are; of their blobs only those are here that somebody has pulled.
"""

import asyncio
import logging
import weakref
from collections.abc import Callable, Mapping

from boxship.content import Content, Garbage
from boxship.errors import BoxshipError, NotFound
from boxship.registry.local import Upstream, UpstreamManifest
from boxship.registry.model import Found
from boxship.registry.names import check_name, check_tag, is_digest
from boxship.registry.policy import Cache, Policy
from boxship.registry.pushing import Pushing
from boxship.registry.reading import Reading
from boxship.registry.refusals import BlobUnknown, ManifestUnknown
from boxship.registry.repositories import Repositories

CHECKED_LIMIT = 100_000  # tags whose last look is remembered

log = logging.getLogger(__name__)


class Caching:
    """Belongs to the loop. `upstreams` are the other registries, by prefix."""

    def __init__(
        self,
        content: Content,
        garbage: Garbage,
        repositories: Repositories,
        reading: Reading,
        pushing: Pushing,
        policy: Policy,
        upstreams: Mapping[str, Upstream],
        now: Callable[[], int],
    ) -> None:
        self._content = content
        self._garbage = garbage
        self._repositories = repositories
        self._reading = reading
        self._pushing = pushing
        self._policy = policy
        self._upstreams = upstreams
        self._now = now
        self._checked: dict[tuple[str, str], int] = {}  # when a tag was last compared, by repository and tag
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def covers(self, name: str) -> bool:
        """Whether a repository comes from elsewhere."""
        return self._policy.cache_of(name) is not None

    async def find(self, name: str, reference: str) -> Found:
        """The manifest of a tag or a digest, fetched where need be. Raises ManifestUnknown, Unavailable."""
        cache = self._cache(name)
        if not is_digest(reference):
            check_tag(reference)
        async with self._lock(f"{name} {reference}"):
            try:
                known: Found | None = self._reading.find(name, reference)
            except NotFound:
                known = None
            if known is not None and (is_digest(reference) or self._is_recent(cache, name, reference)):
                return known
            try:
                await self._fetch(cache, name, reference, known)
            except NotFound as error:
                raise ManifestUnknown(f"cannot find manifest {reference} in repository {name}: {error}") from None
            except BoxshipError as error:
                if known is None:
                    raise
                log.warning("%s of %s is served as it was: %s", reference, name, error)
                return known
            return self._reading.find(name, reference)

    async def _fetch(self, cache: Cache, name: str, reference: str, known: Found | None) -> None:
        upstream, path = self._upstreams[cache.prefix], name.removeprefix(cache.prefix)
        if known is not None and await upstream.digest(path, reference) == known.digest:
            await self._pushing.renew(name, reference)
            self._note(name, reference)
            return
        fetched: UpstreamManifest = await upstream.manifest(path, reference)
        await self._pushing.mirror(name, reference, fetched.media_type, fetched.data)
        self._note(name, reference)

    async def blob(self, name: str, digest: str) -> int:
        """Bytes of a blob, which is fetched first where it is not here. Raises BlobUnknown, Unavailable."""
        cache = self._cache(name)
        try:
            return self._reading.blob(name, digest)
        except BlobUnknown:
            pass
        repository = self._repositories.need(name)
        part = repository.part(digest)
        if part is None:  # no manifest that was pulled here names it
            raise BlobUnknown(f"cannot find blob {digest} in repository {name}")
        async with self._lock(digest), self._garbage.lease() as lease:
            await lease.add(digest)
            if not self._content.exists(digest):
                upstream, path = self._upstreams[cache.prefix], name.removeprefix(cache.prefix)
                try:
                    await self._content.ingest(upstream.blob(path, digest), expected=digest, size=part.size)
                except NotFound as error:
                    raise BlobUnknown(f"cannot find blob {digest} in repository {name}: {error}") from None
            return self._reading.blob(name, digest)

    def _cache(self, name: str) -> Cache:
        cache = self._policy.cache_of(check_name(name))
        assert cache is not None, name
        return cache

    def _is_recent(self, cache: Cache, name: str, tag: str) -> bool:
        return self._checked.get((name, tag), 0) + cache.refresh > self._now()

    def _note(self, name: str, tag: str) -> None:
        if len(self._checked) >= CHECKED_LIMIT:
            self._checked.clear()
        self._checked[name, tag] = self._now()

    def _lock(self, key: str) -> asyncio.Lock:
        """One fetch at a time of each thing; who comes meanwhile finds it there."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock
