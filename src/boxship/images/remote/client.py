"""Remote: the way to all registries. It keeps connections by address and identity, and hands out repositories."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import msgspec

from boxship import __version__
from boxship.errors import BoxshipError, Denied, Invalid, NotFound, Unsupported
from boxship.images.documents import DOCUMENT_LIMIT, parse_config
from boxship.images.remote.authorization import Authorizer
from boxship.images.remote.connection import MOVED, REDIRECTS, Connection
from boxship.images.remote.endpoints import Endpoint, check_mirror, endpoints, is_network, leads_inside
from boxship.images.remote.failures import ERROR_BYTES, failure
from boxship.images.remote.manifests import CONFIGS, INDEXES, is_offer, read_index, read_manifest
from boxship.images.remote.model import Credentials, Document, OwnRegistry, RemoteSettings
from boxship.images.remote.repository import Repository
from boxship.images.remote.retrying import Sleep, retried
from boxship.spec.image import Platform
from boxship.spec.reference import DEFAULT_DOMAIN, Reference
from boxship.transport.client import Answer, HttpClient, Trust

CONNECTIONS = 256  # addresses and identities that are remembered
SEARCH_BYTES = 4 * 1024 * 1024
COMPRESSIONS = ("auto", "none", "gzip", "zstd")
T = TypeVar("T")

log = logging.getLogger(__name__)


class Remote:
    """Registries, as the settings say. Belongs to one loop; `close` at the end."""

    def __init__(
        self,
        settings: RemoteSettings,
        *,
        own: OwnRegistry | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self.own = own
        self.sleep = sleep
        self._now = now
        self._http = HttpClient(
            waits=settings.waits,
            proxies=settings.proxies,
            connections_per_host=settings.limits.connections_per_host,
            user_agent=f"boxship/{__version__}",
        )
        self._connections: OrderedDict[tuple[Endpoint, Credentials | None], Connection] = OrderedDict()
        check(settings)

    def connection(self, endpoint: Endpoint, credentials: Credentials | None) -> Connection:
        """The connection to one address as somebody; a mirror never sees who we are to the registry itself."""
        who = endpoint.credentials if endpoint.mirror else credentials
        key = (endpoint, None if who is None or who.empty else who)
        known = self._connections.get(key)
        if known is None:
            authorizer = Authorizer(self._http, endpoint, key[1], self._now)
            known = self._connections[key] = Connection(self._http, endpoint, authorizer)
            while len(self._connections) > CONNECTIONS:
                self._connections.popitem(last=False)
        self._connections.move_to_end(key)
        return known

    async def repositories(
        self, reference: Reference, credentials: Credentials | None, *, mirrors: bool = True
    ) -> list[Repository]:
        """The repository of a name at every address to be tried, the registry's own last."""
        found = await asyncio.to_thread(endpoints, self.settings, reference.domain, mirrors=mirrors)
        return [Repository(self.connection(endpoint, credentials), reference.path) for endpoint in found]

    async def repository(self, reference: Reference, credentials: Credentials | None) -> Repository:
        """The repository at the registry itself."""
        return (await self.repositories(reference, credentials, mirrors=False))[-1]

    async def first(self, repositories: Sequence[Repository], ask: Callable[[Repository], Awaitable[T]]) -> T:
        """The first answer. What a mirror says wrong does not count; the registry itself is asked again and again."""
        *mirrors, own = repositories
        for mirror in mirrors:
            try:
                return await ask(mirror)
            except BoxshipError as error:
                log.info("a mirror is passed over: %s", error)
        return await self.retried(lambda: ask(own))

    async def retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of an attempt that may be made again."""
        return await retried(attempt, self.settings.limits, self.sleep)

    @asynccontextmanager
    async def stranger(self, url: str, start: int) -> AsyncIterator[Answer]:
        """An address that a manifest names for a layer: nobody's credentials go there, and no exception holds."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            host = urlsplit(url).hostname or ""
        except ValueError as error:
            raise Invalid(f"cannot read {url[:200]!r}: {error}") from None
        if not url.startswith("https://") or leads_inside(host, ""):
            raise Denied(f"cannot read {url}: it is not on TLS, or leads to this machine")
        trust = Trust(self.settings.extra_ca)
        async with self._http.request("GET", url, headers=headers, trust=trust) as answer:
            if answer.status not in (200, 206):
                said = await answer.read(ERROR_BYTES)
                raise failure(answer.status, answer.reason, said)
            yield answer

    async def download(self, url: str) -> AsyncGenerator[bytes, None]:
        """A file that a user asked for by its address; a few redirects are followed."""
        for _ in range(REDIRECTS + 1):
            async with self._http.request("GET", url) as answer:
                if answer.status not in MOVED:
                    if answer.status != 200:
                        raise failure(answer.status, answer.reason, await answer.read(ERROR_BYTES))
                    async for data in answer.chunks():
                        yield data
                    return
                url = urljoin(url, answer.headers.get("Location", ""))
        raise Invalid(f"cannot read {url}: more than {REDIRECTS} redirects")

    async def login(self, domain: str, credentials: Credentials) -> None:
        """Whether the registry knows us. Raises Unauthenticated with its words."""
        endpoint = (await asyncio.to_thread(endpoints, self.settings, domain, mirrors=False))[-1]
        fresh = Connection(self._http, endpoint, Authorizer(self._http, endpoint, credentials, self._now))

        async def ask() -> None:
            async with fresh.request("GET", "/v2/", expect=(200,)):
                return

        await self.retried(ask)

    async def search(self, domain: str, term: str, limit: int, credentials: Credentials | None) -> list[dict[str, Any]]:
        """What the registry's search finds. Raises Unsupported where it has none."""
        endpoint = (await asyncio.to_thread(endpoints, self.settings, domain, mirrors=False))[-1]
        connection = self.connection(endpoint, credentials)
        try:
            async with connection.request("GET", f"/v1/search?q={quote(term)}&n={limit}") as answer:
                found = msgspec.json.decode(await answer.read(SEARCH_BYTES), type=dict[str, Any])
        except (NotFound, Invalid, msgspec.DecodeError) as error:
            raise Unsupported(f"unsupported: search at {domain}: the registry has none") from error
        results = found.get("results") or []
        return [entry for entry in results if isinstance(entry, dict)]

    async def distribution(
        self, reference: Reference, credentials: Credentials | None
    ) -> tuple[Document, tuple[Platform, ...]]:
        """What a name stands for, and the platforms that it is for."""
        reference = reference.with_default_tag()
        repositories = await self.repositories(reference, credentials)
        document = await self.first(repositories, lambda place: place.manifest(reference.digest or reference.tag))
        if document.media_type in INDEXES:
            entries = read_index(document).manifests
            return document, tuple(entry.platform for entry in entries if entry.platform and is_offer(entry))
        part = read_manifest(document).config
        if part.mediaType not in CONFIGS or part.size > DOCUMENT_LIMIT:
            return document, ()
        config = parse_config(await self.first(repositories, lambda place: place.small_blob(part.digest, part.size)))
        return document, (Platform(config.architecture, config.os, config.variant),)

    async def close(self) -> None:
        await self._http.close()


def check(settings: RemoteSettings) -> None:
    """Raises Invalid for settings that cannot be."""
    for addresses in settings.mirrors.values():
        for address in addresses:
            check_mirror(settings, address)
    for domain in settings.mirrors:
        if "/" in domain:
            raise Invalid(f"cannot use a mirror of {domain}: write HOST[:PORT]=URL")
    for rule in settings.insecure:
        if "://" in rule or ("/" in rule and not is_network(rule)):
            raise Invalid(f"cannot use insecure-registry {rule}: write HOST[:PORT] or a network such as 10.0.0.0/8")
    if settings.push_compression not in COMPRESSIONS:
        raise Invalid(
            f"cannot use push-compression {settings.push_compression}: it is one of {', '.join(COMPRESSIONS)}"
        )


def domain_of(server: str) -> str:
    """The domain that a server's address in a client's credentials means: "https://host/v1/" is "host"."""
    host = server.partition("://")[2] or server
    host = host.partition("/")[0]
    return DEFAULT_DOMAIN if host in ("", f"index.{DEFAULT_DOMAIN}") else host
