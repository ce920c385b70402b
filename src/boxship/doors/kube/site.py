"""Everything that this server answers outside resources: discovery, OpenAPI, version, health, metrics, keys, the index.

Documents are made once for each state of the catalogue and then sent as they are, with an ETag.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.request import User
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import GROUP_VERSIONS
from boxship.cluster.objects.failure import no_such_path, not_acceptable
from boxship.cluster.objects.media_types import JSON
from boxship.doors.kube import discovery
from boxship.doors.kube.discovery import Groups, tag_of
from boxship.doors.kube.errors import wrong_method
from boxship.doors.kube.health import ENDPOINTS, Health
from boxship.doors.kube.metrics import Metrics
from boxship.doors.kube.negotiation import parse_accept
from boxship.doors.kube.openapi import Documents, OpenApi
from boxship.transport.exchange import Reply, Request

AGGREGATED_FORM = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
OWN = "/boxship/"
DOCUMENTS_LIMIT = 1000  # kept ready
VARY = {"Vary": "Accept"}

encode = msgspec.json.Encoder().encode


class Facts(msgspec.Struct, frozen=True):
    """What the server says of itself. `address` is where it is reached, HOST:PORT; `version` is /version's document."""

    address: str
    version: Object


class Elsewhere(Protocol):
    """Groups that other servers serve behind this one. `version` grows with each change."""

    @property
    def version(self) -> int: ...

    def groups(self) -> Sequence[Object]:
        """APIGroup entries."""

    def discovered(self) -> Sequence[Object]:
        """APIGroupDiscovery items."""

    def group(self, name: str) -> Object | None:
        """One APIGroup entry."""


class Nowhere:
    """Implements Elsewhere where there is nobody else."""

    version = 0

    def groups(self) -> Sequence[Object]:
        return ()

    def discovered(self) -> Sequence[Object]:
        return ()

    def group(self, name: str) -> Object | None:
        return None


class Keys(Protocol):
    """How others check the tokens of service accounts."""

    def discovery_document(self, server: str) -> bytes: ...

    def key_set(self) -> bytes: ...


Handler = Callable[[Request], Awaitable[Reply]]
OwnHandler = Callable[[Request, User], Awaitable[Reply]]


class Site:
    """Of one server."""

    def __init__(
        self,
        catalog: Catalog,
        facts: Facts,
        health: Health,
        metrics: Metrics,
        documents: Documents | None = None,
        keys: Keys | None = None,
        elsewhere: Elsewhere | None = None,
        own: Mapping[str, OwnHandler] | None = None,
    ) -> None:
        """`own` are paths of ours below OWN, which the original does not have; each is told who asks, and looks at the
        method itself. One that ends with a slash ("/boxship/history/") answers for all below it."""
        self._catalog = catalog
        self._facts = facts
        self._health = health
        self._metrics = metrics
        self._openapi = OpenApi(documents) if documents is not None else None
        self._keys = keys
        self._elsewhere = elsewhere or Nowhere()
        self._own = own or {}
        self._state = (0, 0)
        self._groups = Groups((), {})
        self._made: dict[tuple[str, str], tuple[bytes, str]] = {}

    def find_own(self, path: str) -> OwnHandler | None:
        """Who answers a path below OWN; None: nobody."""
        return self._own.get(path) or self._own.get(f"{OWN}{path.removeprefix(OWN).partition('/')[0]}/")

    def find(self, path: str) -> Handler | None:
        """Who answers a path (without its last slash); None: nobody."""
        if path == "/api" or path == "/apis" or path.startswith(("/api/", "/apis/")):
            return self._discover
        if path.startswith("/openapi/") and self._openapi is not None:
            return self._openapi.answer
        words = path.split("/", 3)
        if words[0]:
            return None  # "*", or HOST:PORT of a CONNECT
        if words[1] in ENDPOINTS:
            return self._check
        return {
            "/": self._index,
            "/version": self._version,
            "/metrics": self._measure,
            "/.well-known/openid-configuration": self._issuer,
            "/openid/v1/jwks": self._key_set,
        }.get(path)

    async def _check(self, request: Request) -> Reply:
        return await self._health.answer(request.path, request.query)

    async def _version(self, _: Request) -> Reply:
        return Reply(200, {"Content-Type": JSON}, msgspec.json.format(encode(self._facts.version), indent=2))

    async def _measure(self, _: Request) -> Reply:
        return await self._metrics.reply()

    async def _issuer(self, _: Request) -> Reply:
        if self._keys is None:
            raise no_such_path()
        return Reply(200, {"Content-Type": JSON}, self._keys.discovery_document(f"https://{self._facts.address}"))

    async def _key_set(self, _: Request) -> Reply:
        if self._keys is None:
            raise no_such_path()
        return Reply(200, {"Content-Type": "application/jwk-set+json"}, self._keys.key_set())

    async def _index(self, _: Request) -> Reply:
        groups = self._current().versions
        paths = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/metrics", "/openapi/v2", "/version"]
        paths += ["/openapi/v3", "/openid/v1/jwks", *self._health.paths()]
        for group, versions in groups.items():
            if group:
                paths += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
        paths += [f"/apis/{entry['name']}" for entry in self._elsewhere.groups()]
        return Reply(200, {"Content-Type": JSON}, msgspec.json.format(encode({"paths": sorted(set(paths))}), indent=2))

    # discovery

    def _current(self) -> Groups:
        state = (self._catalog.version, self._elsewhere.version)
        if state != self._state:
            computed = [each for each in self._catalog.computed() if self._elsewhere.group(each.group) is None]
            self._groups = Groups((*self._catalog.all(), *computed), GROUP_VERSIONS)
            self._made.clear()
            self._state = state
        return self._groups

    async def _discover(self, request: Request) -> Reply:
        if request.method not in ("GET", "HEAD"):
            raise wrong_method()
        self._current()
        path = request.path.rstrip("/")
        content_type = JSON
        if path in ("/api", "/apis"):
            content_type = wanted_form(request.headers.get("Accept", ""))
        made = self._made.get((path, content_type))
        if made is None:
            document = self._document(path, content_type)
            if document is None:
                raise no_such_path()
            data = encode(document)
            made = (data, tag_of(data))
            if len(self._made) < DOCUMENTS_LIMIT:
                self._made[path, content_type] = made
        return tagged(request, made[0], made[1], content_type, VARY)

    def _document(self, path: str, content_type: str) -> Object | None:
        groups, extra = self._groups, self._elsewhere
        if path in ("/api", "/apis"):
            for version in discovery.AGGREGATED_VERSIONS:
                if content_type == AGGREGATED_FORM.format(version):
                    return discovery.aggregated(groups, path == "/api", version, extra.discovered())
            if path == "/api":
                return discovery.core_versions(self._facts.address)
            return discovery.group_list(groups, extra.groups())
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            parts.insert(1, "")
        group, version = parts[1], parts[2] if len(parts) > 2 else ""
        versions = groups.versions.get(group)
        if len(parts) == 2:
            if versions:
                return discovery.one_group(group, list(versions))
            entry = extra.group(group)
            return {"kind": "APIGroup", "apiVersion": "v1", **entry} if entry else None
        if len(parts) == 3 and versions and version in versions:
            return discovery.resource_list(group, version, versions[version])
        return None


def wanted_form(accept: str) -> str:
    """The Content-Type of an answer to /api or /apis. Raises Failure 406."""
    if not accept:
        return JSON
    for clause in parse_accept(accept):
        if clause.media_type not in (JSON, "*/*", "application/*"):
            continue
        if "as" not in clause.parameters:
            return JSON
        known = clause.parameters.get("g"), clause.parameters.get("as")
        version = clause.parameters.get("v", "")
        if known == (discovery.AGGREGATED, "APIGroupDiscoveryList") and version in discovery.AGGREGATED_VERSIONS:
            return AGGREGATED_FORM.format(version)
    raise not_acceptable((JSON,))


def tagged(request: Request, data: bytes, tag: str, content_type: str, headers: Mapping[str, str]) -> Reply:
    """The document, or 304 for a client that has it."""
    known = [word.strip().removeprefix("W/") for word in request.headers.get("If-None-Match", "").split(",")]
    if tag in known:
        return Reply(304, {"ETag": tag, **headers})
    return Reply(200, {"Content-Type": content_type, "ETag": tag, **headers}, data)
