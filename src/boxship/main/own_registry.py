"""What joins the registry with the engine: images that it serves without a push, pushes that move no bytes, and other
registries as the sources of caches."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec

from boxship.content import Content
from boxship.errors import BoxshipError, Denied, Invalid, Unauthenticated
from boxship.images.documents import DOCUMENT_LIMIT
from boxship.images.library import Images
from boxship.images.model import Target
from boxship.images.remote.client import Remote
from boxship.images.remote.model import Credentials
from boxship.images.remote.repository import Repository
from boxship.images.remote.retrying import TRANSIENT, Retries
from boxship.registry import Actor, Registry
from boxship.registry.access import Access, Identity
from boxship.registry.local import LocalManifest, UpstreamManifest
from boxship.registry.logins import Users
from boxship.registry.policy import Cache
from boxship.registry.tokens import Tokens
from boxship.spec import reference as references
from boxship.spec.image import DOCKER_MANIFEST, MEDIA_MANIFEST
from boxship.spec.reference import Reference

ENGINE = "engine"  # where pushes of the engine come from, in place of an address


class EngineImages:
    """The engine's images under the registry's own addresses. `images` is asked while the registry serves."""

    def __init__(self, names: frozenset[str], content: Content, images: Callable[[], Images]) -> None:
        self._names = sorted(names)
        self._images = images
        self._media_type = functools.lru_cache(maxsize=4096)(functools.partial(_media_type, content))

    def resolve(self, repository: str, reference: str) -> LocalManifest | None:
        """What a tag or a digest stands for."""
        catalog = self._images().catalog
        if ":" not in reference:
            for domain in self._names:
                target = catalog.target(f"{domain}/{repository}:{reference}")
                if target is not None:
                    return self._manifest(target)
            return None
        for _, target in self._targets(repository):
            found = self._manifest(target)
            if found is not None and found.digest == reference:
                return found
        return None

    def holds(self, repository: str, digest: str) -> bool:
        """Whether an image of that repository consists of that blob, among others."""
        catalog = self._images().catalog
        for _, target in self._targets(repository):
            if catalog.has(target.image):
                record = catalog.record(target.image)
                if digest == record.id or any(layer.blob == digest for layer in record.layers):
                    return True
        return False

    def tags(self, repository: str) -> list[str]:
        return sorted({tag for tag, _ in self._targets(repository)})

    def repositories(self) -> list[str]:
        catalog = self._images().catalog
        found = set()
        for identifier in catalog.identifiers():
            for name in catalog.names(identifier):
                domain, _, rest = name.partition("/")
                if domain in self._names and "@" not in name:
                    found.add(rest.rpartition(":")[0])
        return sorted(found)

    def _targets(self, repository: str) -> Iterator[tuple[str, Target]]:
        catalog = self._images().catalog
        for domain in self._names:
            for name in catalog.names_in(f"{domain}/{repository}"):
                target = catalog.target(name)
                if target is not None:
                    yield name.rpartition(":")[2], target

    def _manifest(self, target: Target) -> LocalManifest | None:
        catalog = self._images().catalog
        if not catalog.has(target.image):
            return None
        record = catalog.record(target.image)
        try:
            media_type = self._media_type(record.manifest)
        except BoxshipError:  # damaged, or on its way out
            return None
        index = target.digest if target.digest != record.manifest else ""
        return LocalManifest(record.manifest, media_type, record.tagged_at, index)


class Kind(msgspec.Struct, frozen=True):
    """The one field of a manifest that is needed here."""

    mediaType: str = ""


def _media_type(content: Content, digest: str) -> str:
    """What a manifest says that it is; old ones of the OCI's need not say."""
    said = msgspec.json.decode(content.read_now(digest, DOCUMENT_LIMIT), type=Kind).mediaType
    return said if said in (MEDIA_MANIFEST, DOCKER_MANIFEST) else MEDIA_MANIFEST


class OwnRegistry:
    """The registry as the engine pushes to it: nothing is sent, as both use one content store."""

    def __init__(
        self,
        names: frozenset[str],
        content: Content,
        registry: Registry,
        access: Access,
        users: Users | None,
        tokens: Tokens | None,
        now: Callable[[], int],
    ) -> None:
        self._names = names
        self._content = content
        self._registry = registry
        self._access = access
        self._users = users
        self._tokens = tokens
        self._now = now

    def serves(self, domain: str) -> bool:
        """Whether names with this domain are kept there."""
        return domain in self._names

    async def accept(
        self, repository: str, tag: str, manifest_digest: str, media_type: str, credentials: Credentials | None
    ) -> None:
        """Take a manifest whose blobs are all in the store, under a tag (or "" for the digest alone), durably. Raises
        Denied or Unauthenticated."""
        user = await self._user(credentials or Credentials(), repository)
        data = await self._content.read(manifest_digest, self._registry.settings.manifest_bytes)
        actor = Actor(user, ENGINE)
        await self._registry.pushing.accept(repository, tag or manifest_digest, media_type, data, actor)

    async def _user(self, credentials: Credentials, repository: str) -> str:
        identity = Identity()
        if self._users is not None:
            if credentials.registry_token and self._tokens is not None:
                identity = self._tokens.read(credentials.registry_token, self._now() // 10**9)
            elif credentials.username:
                if not await self._users.knows(credentials.username, credentials.password, ENGINE):
                    raise Unauthenticated("unauthorized: the user or the password is wrong")
                identity = Identity(credentials.username)
        user = identity.user
        if not self._access.may(identity, repository, "push"):
            if user or self._users is None:
                raise Denied(f"denied: {user or 'nobody in particular'} may not push to {repository}")
            raise Unauthenticated("no basic auth credentials")
        return user


class RemoteUpstream:
    """Another registry, as the source of a cache."""

    def __init__(self, cache: Cache, remote: Callable[[], Remote]) -> None:
        """Raises Invalid where the password cannot be read, or the address is none."""
        self._upstream = cache.upstream.removeprefix("https://").rstrip("/")
        self._remote = remote
        try:
            references.parse(f"{self._upstream}/a")
        except Invalid as error:
            raise Invalid(f"cannot use upstream {cache.upstream}: write HOST[:PORT][/PATH]") from error
        password = ""
        if cache.password_file:
            try:
                password = Path(cache.password_file).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Invalid(f"cannot read {cache.password_file}: {error}") from error
        self._credentials = Credentials(cache.username, password) if cache.username else None

    async def digest(self, repository: str, tag: str) -> str:
        """What a tag stands for now; "" where it does not say without sending the manifest."""
        place = await self._place(repository)
        return await place.manifest_digest(tag)  # asked once: what is here is served where no answer comes

    async def manifest(self, repository: str, reference: str) -> UpstreamManifest:
        place = await self._place(repository)
        found = await self._remote().retried(lambda: place.manifest(reference))
        return UpstreamManifest(found.digest, found.media_type, found.data)

    async def blob(self, repository: str, digest: str) -> AsyncIterator[bytes]:
        """The blob's bytes; where the connection breaks, they go on from there."""
        place, remote = await self._place(repository), self._remote()
        retries = Retries(remote.settings.limits, remote.sleep)
        got = 0
        while True:
            before = got
            try:
                async with place.blob(digest, got) as (answer, start):
                    skip = got - start  # where the server cannot begin in the middle
                    async for data in answer.chunks():
                        piece, skip = data[skip:], max(0, skip - len(data))
                        if piece:
                            got += len(piece)
                            yield piece
                return
            except TRANSIENT as error:
                await retries.failed(error, progress=got > before)

    async def _place(self, repository: str) -> Repository:
        reference: Reference = references.parse(f"{self._upstream}/{repository}")
        return await self._remote().repository(reference, self._credentials)
