"""Pushing: blobs by uploads, mounts, and manifests.

One order for everything: a lease on the bytes, the bytes durable, the record durable, the claim, the lease's end. So
somebody else may delete at the same time, and a crash leaves nothing that shows and is not whole.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec

from boxship.content import Content, Garbage
from boxship.errors import NotFound
from boxship.registry.documents import digest_of, read_manifest
from boxship.registry.model import Actor, Fresh, Manifest, Pushed, Settings, Tag
from boxship.registry.names import check_digest, check_name, check_tag, is_digest
from boxship.registry.policy import Policy, matches
from boxship.registry.reading import Reading
from boxship.registry.refusals import DigestInvalid, PartUnknown, QuotaReached, ReadOnly, SizeInvalid, TagKept
from boxship.registry.repositories import Repositories
from boxship.registry.repository import Change, Repository
from boxship.registry.uploads import Uploads

Sizes = Callable[[str, str], int]  # bytes of a blob of a repository; raises NotFound


class Pushing:
    """Belongs to the loop."""

    def __init__(
        self,
        content: Content,
        garbage: Garbage,
        repositories: Repositories,
        reading: Reading,
        settings: Settings,
        policy: Policy,
        now: Callable[[], int],
    ) -> None:
        self._content = content
        self._garbage = garbage
        self._repositories = repositories
        self._reading = reading
        self._settings = settings
        self._policy = policy
        self._now = now
        self.uploads = Uploads(content, settings)

    async def start_upload(self, name: str, algorithm: str = "sha256") -> str:
        """Begin an upload; its id."""
        self._check_writable(name)
        self._room(name, 0)
        return await self.uploads.start(name, algorithm)

    async def append(
        self, name: str, upload: str, chunks: AsyncIterator[bytes], start: int | None, length: int | None
    ) -> int:
        """Add a chunk; the upload's size. See `Uploads.append`."""
        room = self._room(name, self.uploads.size(name, upload))
        try:
            return await self.uploads.append(name, upload, chunks, start=start, length=length, room=room)
        finally:
            self._note_push(name)

    async def finish_upload(
        self,
        name: str,
        upload: str,
        digest: str,
        chunks: AsyncIterator[bytes],
        actor: Actor,
        start: int | None = None,
        length: int | None = None,
    ) -> None:
        """Add the last chunk, where there is one, and make the blob part of the repository."""
        check_digest(digest)
        room = self._room(name, self.uploads.size(name, upload))
        async with self._garbage.lease() as lease:
            await lease.add(digest)
            size = await self.uploads.finish(name, upload, digest, chunks, start=start, length=length, room=room)
            await self._keep(name, digest, size, actor)

    async def push_blob(
        self, name: str, digest: str, chunks: AsyncIterator[bytes], actor: Actor, length: int | None = None
    ) -> None:
        """A whole blob in one step."""
        self._check_writable(name)
        check_digest(digest)
        room = self._room(name, 0)
        async with self._garbage.lease() as lease:
            await lease.add(digest)
            size = await self.uploads.take_whole(digest, chunks, length=length, room=room)
            await self._keep(name, digest, size, actor)

    async def cancel_upload(self, name: str, upload: str) -> None:
        await self.uploads.cancel(check_name(name), upload)

    async def mount(self, name: str, digest: str, source: str, actor: Actor) -> bool:
        """Make a blob of another repository part of this one, without moving a byte. False where that has none."""
        self._check_writable(name)
        check_digest(digest)
        async with self._garbage.lease() as lease:
            await lease.add(digest)
            try:
                size = self._reading.blob(source, digest)
            except NotFound:
                return False
            await self._keep(name, digest, size, actor)
            return True

    async def push_manifest(self, name: str, reference: str, media_type: str, data: bytes, actor: Actor) -> Pushed:
        """Store a manifest under its digest and, where `reference` is one, a tag. Raises ManifestInvalid, PartUnknown,
        DigestInvalid, TagKept, QuotaReached."""
        self._check_writable(name)
        return await self._push_manifest(name, reference, media_type, data, actor, self._find_part)

    async def accept(self, name: str, reference: str, media_type: str, data: bytes, actor: Actor) -> Pushed:
        """The same for the engine, all of whose blobs are ours already: nothing has to be pushed before."""
        self._check_writable(name)
        sizes: Sizes = lambda _, digest: self._content.size(digest)  # noqa: E731
        return await self._push_manifest(name, reference, media_type, data, actor, sizes)

    async def mirror(self, name: str, reference: str, media_type: str, data: bytes) -> Pushed:
        """The same for what comes from another registry, whose blobs and manifests come when they are asked for."""
        return await self._push_manifest(name, reference, media_type, data, Actor(), None)

    async def renew(self, name: str, tag: str) -> None:
        """Note that a tag still stands for what it stood for: it counts as pushed now."""
        repository = self._repositories.at(name)
        try:
            async with repository.lock:
                known = repository.tags.get(tag)
                if known is not None:
                    await self._repositories.commit(repository, Change(tags={tag: Tag(known.digest, self._now())}))
        finally:
            self._repositories.tidy(repository)

    async def _push_manifest(
        self, name: str, reference: str, media_type: str, data: bytes, actor: Actor, sizes: Sizes | None
    ) -> Pushed:
        check_name(name)
        algorithm = check_digest(reference).partition(":")[0] if is_digest(reference) else "sha256"
        tag = "" if is_digest(reference) else check_tag(reference)
        digest = digest_of(data, algorithm)
        if not tag and digest != reference:
            raise DigestInvalid(f"cannot store manifest {reference}: the content has the digest {digest}")
        manifest = read_manifest(data, media_type, digest, self._now(), self._settings)
        async with self._garbage.lease() as lease:
            for key in (digest, *(part.digest for part in manifest.parts)):
                await lease.add(key)
            self._check_parts(name, manifest, sizes)
            await self._store_manifest(data, digest)
            await self._publish(name, digest, manifest, tag, actor, sizes)
        return Pushed(digest, manifest.subject)

    def _check_parts(self, name: str, manifest: Manifest, sizes: Sizes | None) -> None:
        """Whether all that a manifest names is there, with the sizes that it names; `sizes` finds them, None: they come
        later."""
        if sizes is None:
            return
        repository = self._repositories.find(name)
        for part in manifest.parts:
            try:
                size = sizes(name, part.digest)
            except NotFound:
                raise PartUnknown(f"cannot store manifest: repository {name} has no blob {part.digest}") from None
            if size != part.size:
                raise SizeInvalid(f"cannot store manifest: blob {part.digest} has {size} bytes, not {part.size}")
        for child in manifest.children:
            if repository is None or child not in repository.manifests:
                raise PartUnknown(f"cannot store manifest: repository {name} has no manifest {child}")

    def _find_part(self, name: str, digest: str) -> int:
        return self._reading.blob(name, digest)

    def _check_writable(self, name: str) -> None:
        """Raises ReadOnly where the repository comes from another registry."""
        cache = self._policy.cache_of(check_name(name))
        if cache is not None:
            raise ReadOnly(f"cannot push to repository {name}: it comes from {cache.upstream}")

    async def _store_manifest(self, data: bytes, digest: str) -> None:
        def store() -> None:
            ingest = self._content.begin(algorithm=digest.partition(":")[0])
            try:
                ingest.write(data)
                ingest.finish(digest)
            finally:
                ingest.abandon()

        if not self._content.exists(digest):
            await asyncio.to_thread(store)

    async def _publish(
        self, name: str, digest: str, manifest: Manifest, tag: str, actor: Actor, sizes: Sizes | None
    ) -> None:
        """Record a manifest whose bytes and parts are leased."""
        repository = self._repositories.at(name)
        try:
            async with repository.lock:
                self._check_parts(name, manifest, sizes)
                change = self._addition(repository, digest, manifest, tag)
                await self._repositories.commit(repository, change)
                for part in manifest.parts:
                    repository.touches.use(part.digest, actor)
                repository.pushed_at = self._now()
        finally:
            self._repositories.tidy(repository)

    def _addition(self, repository: Repository, digest: str, manifest: Manifest, tag: str) -> Change:
        name, rules = repository.name, self._policy.of(repository.name)
        present = repository.manifests.get(digest)
        change = Change(manifests={} if present and not present.lapsed_at else {digest: manifest})
        change.fresh = {part.digest: None for part in manifest.parts if part.digest in repository.fresh}
        if rules.quota is not None:
            growth = repository.growth(
                [(digest, manifest.size), *((part.digest, part.size) for part in manifest.parts)]
            )
            if repository.size + growth > rules.quota:
                raise QuotaReached(f"cannot store manifest: repository {name} has a quota of {rules.quota} bytes")
        if tag:
            former = repository.tags.get(tag)
            if former is not None and former.digest != digest:
                if matches(rules.immutable, tag):
                    raise TagKept(f"cannot push tag {tag} of repository {name}: it is immutable")
                displaced = repository.manifests.get(former.digest)
                if displaced is not None and repository.tags_of(former.digest) == {tag}:
                    change.manifests[former.digest] = msgspec.structs.replace(displaced, lapsed_at=self._now())
            change.tags = {tag: Tag(digest, self._now())}
            if tag in repository.hidden:
                change.hidden = {tag: None}
        return change

    async def _keep(self, name: str, digest: str, size: int, actor: Actor) -> None:
        """Make a blob that is there, and leased, part of a repository until a manifest names it."""
        repository = self._repositories.at(name)
        try:
            async with repository.lock:
                rules = self._policy.of(name)
                if rules.quota is not None and repository.size + repository.growth([(digest, size)]) > rules.quota:
                    raise QuotaReached(f"cannot store blob: repository {name} has a quota of {rules.quota} bytes")
                if not repository.is_used(digest):
                    fresh = Fresh(size, self._now())
                    await self._repositories.commit(repository, Change(fresh={digest: fresh}))
                self._reading.touch(repository, digest, actor)
        finally:
            self._repositories.tidy(repository)

    def _note_push(self, name: str) -> None:
        repository = self._repositories.find(name)
        if repository is not None:
            repository.pushed_at = self._now()

    def _room(self, name: str, size: int) -> int | None:
        """How many bytes an upload that has `size` may still bring. Raises QuotaReached where there is no room."""
        quota = self._policy.of(name).quota
        if quota is None:
            return None
        repository = self._repositories.find(name)
        used = repository.size if repository else 0
        if used >= quota:
            raise QuotaReached(f"cannot store blob: repository {name} has a quota of {quota} bytes")
        return max(quota - used - size, 0)
