"""The API server as the verbs see it: requests by path, JSON in and out, a Status as an error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from boxship.cli.call import Call, Failure
from boxship.cli.escape import escape
from boxship.cli.kube.config import Access, Object, find_access
from boxship.transport.blocking import Connection, Response

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
ANSWER_BYTES = 1 << 30


class Refused(Failure):
    """The server's Status."""

    def __init__(self, status: Object) -> None:
        reason = status.get("reason") or status.get("code")
        super().__init__(f"Error from server ({reason}): {status.get('message') or 'unknown'}")
        self.code = int(status.get("code") or 0)
        self.reason = str(status.get("reason") or "")


class Kind:
    """A resource as the server's discovery describes it."""

    __slots__ = ("api_version", "group", "kind", "namespaced", "plural", "subresources", "verbs")

    def __init__(
        self, group: str, version: str, kind: str, plural: str, namespaced: bool, verbs: list[str], below: set[str]
    ) -> None:
        self.group = group
        self.api_version = f"{group}/{version}" if group else version
        self.kind = kind
        self.plural = plural
        self.namespaced = namespaced
        self.verbs = verbs
        self.subresources = below

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def shown(self, name: str) -> str:
        """As results name it: "deployment.apps/web"."""
        word = self.kind.lower()
        return f"{word}.{self.group}/{name}" if self.group else f"{word}/{name}"

    def path(self, namespace: str = "", name: str = "", below: str = "") -> str:
        """The request path; all namespaces where none is given."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", escape(namespace)]
        parts.append(self.plural)
        parts += [escape(name)] if name else []
        parts += [below] if below else []
        return "/".join(parts)


class Server:
    """One connection, kept. Warnings go to stderr as they come."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.access: Access = find_access(call)
        self._connection: Connection | None = None
        self._kinds: dict[str, Kind] | None = None

    @property
    def namespace(self) -> str:
        return self.access.namespace

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        *,
        media_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """One request and its whole answer. Raises Refused."""
        response = self.open(method, path, query, body, media_type=media_type, accept=accept)
        told: Object = json.loads(response.read(ANSWER_BYTES))
        return told

    def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        *,
        media_type: str = "application/json",
        accept: str = "application/json",
    ) -> Response:
        """The answer before its body is read. Raises Refused."""
        if self._connection is None or not self._connection.usable():
            self._connection = Connection(self.access.address)
        given = {key: value for key, value in (query or {}).items() if value not in (None, "", False)}
        if given:
            texts = (f"{key}={escape('true' if value is True else str(value))}" for key, value in given.items())
            path = f"{path}?{'&'.join(texts)}"
        headers = {"Accept": accept, "User-Agent": "boxship", **self.access.headers}
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = media_type
        response = self._connection.request(method, path, headers, data)
        if response.headers.get("warning"):
            self._warn(response.headers["warning"])
        if response.status >= 400:
            raise Refused(_status(response))
        return response

    def _warn(self, header: str) -> None:
        """RFC 9110, section 5.5 of its forerunner 7234: 299 - "text", …"""
        for part in header.split("299 ")[1:]:
            _, _, text = part.partition('"')
            said = text.rstrip(", ").removesuffix('"').replace('\\"', '"')
            self._call.warn(f"Warning: {said}")

    def events(self, path: str, query: Mapping[str, object], accept: str) -> Iterator[Object]:
        """A watch."""
        for line in self.open("GET", path, {**query, "watch": True}, accept=accept).lines():
            yield json.loads(line)

    def kind(self, word: str) -> Kind:
        """What "pods", "po", "pod", "deployments.apps", "Deployment" or "deployments.v1.apps" means. Raises Failure."""
        if self._kinds is None:
            self._kinds = self._discover()
        found = self._kinds.get(word.lower())
        if found is None:
            raise Failure(f'error: the server doesn\'t have a resource type "{word}"')
        return found

    def kind_of(self, made: Object) -> Kind:
        """The resource of an object, by its apiVersion and kind. Raises Failure."""
        version, kind = made.get("apiVersion", ""), made.get("kind", "")
        if self._kinds is None:
            self._kinds = self._discover()
        found = self._kinds.get(f"{version}\n{kind}")
        if found is None:
            group, _, plain = version.rpartition("/")
            place = f'version "{version}"' if group or plain else "no version"
            raise Failure(f'no matches for kind "{kind}" in {place}')
        return found

    def categories(self, word: str) -> list[Kind]:
        """The resources of a category such as "all"."""
        self.kind("namespaces")
        assert self._kinds is not None
        return [kind for key, kind in self._kinds.items() if key.startswith(f"\t{word}\t")]

    def _discover(self) -> dict[str, Kind]:
        """Every name of every resource; of several groups with one name, the first in the server's own order."""
        known: dict[str, Kind] = {}
        for path in ("/api", "/apis"):
            for group in self.ask("GET", path, accept=AGGREGATED).get("items") or []:
                for version in group.get("versions") or []:
                    for resource in version.get("resources") or []:
                        _learn(known, group.get("metadata", {}).get("name", ""), version["version"], resource)
        return known


def _learn(known: dict[str, Kind], group: str, version: str, resource: Object) -> None:
    kind = resource["responseKind"]["kind"]
    below = {part["subresource"] for part in resource.get("subresources") or []}
    made = Kind(
        group,
        version,
        kind,
        resource["resource"],
        resource["scope"] == "Namespaced",
        resource.get("verbs") or [],
        below,
    )
    known[f"{made.api_version}\n{kind}"] = made
    words = [
        made.plural,
        resource.get("singularResource") or kind.lower(),
        kind.lower(),
        *resource.get("shortNames", ()),
    ]
    for word in words:
        known.setdefault(word, made)
        if group:
            known.setdefault(f"{word}.{group}", made)
            known.setdefault(f"{word}.{version}.{group}", made)
    for category in resource.get("categories") or []:
        known.setdefault(f"\t{category}\t{made.qualified}", made)


def _status(response: Response) -> Object:
    data = response.read()
    try:
        status = json.loads(data)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return status
    return {"code": response.status, "reason": response.reason, "message": data[:500].decode(errors="replace").strip()}
