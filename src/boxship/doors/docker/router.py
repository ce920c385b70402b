"""Which handler answers which method and path: the table as data, joined from the nouns' own lists.

A pattern's `{id}` matches one segment, `{id*}` any number of them (image names carry slashes), greedily but leaving
what follows. Paths work with and without /vX.Y; what matches no route is 404, a wrong method too.
"""

import re
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from boxship.doors.docker.call import Call, Version
from boxship.errors import Unsupported
from boxship.transport.exchange import Reply

Handler = Callable[[Call], Awaitable[Reply | None]]
MINIMUM: Version = (1, 24)
MAXIMUM: Version = (1, 51)
_PREFIX = re.compile(r"/v([0-9.]+)(/.*)", re.DOTALL)


class Route(msgspec.Struct, frozen=True):
    """One endpoint. `query` names the parameters that it honours, `refused` the documented ones that it does not: they
    are refused by name when they carry a value."""

    method: str
    pattern: str
    handler: Handler
    query: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    minimum: Version = MINIMUM


class Router:
    """Finds routes. Patterns are compiled once, and looked up by method and first segment."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._by_head: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
        for route in self.routes:
            self._by_head.setdefault((route.method, _head(route.pattern)), []).append((_compiled(route.pattern), route))

    def find(self, method: str, path: str, version: Version) -> tuple[Route, dict[str, str]] | None:
        """The route and the names in the path."""
        for pattern, route in self._by_head.get((method, _head(path)), ()):
            match = pattern.fullmatch(path)
            if match and version >= route.minimum:
                return route, match.groupdict()
        return None


def split_version(path: str) -> tuple[str | None, str]:
    """("1.43", "/containers/json") of "/v1.43/containers/json"; (None, path) without a version."""
    match = _PREFIX.fullmatch(path) if path.startswith("/v") else None
    return (match[1], match[2]) if match else (None, path)


def parse_version(text: str) -> Version:
    """ "1.43" as numbers; what is no number counts as 0."""
    parts = [int(part) if part.isdecimal() and len(part) < 9 else 0 for part in text.split(".")]
    return (parts[0], parts[1] if len(parts) > 1 else 0)


def check_query(route: Route, query: dict[str, list[str]]) -> None:
    """Raises Unsupported for a documented parameter that the route does not honour and that asks for something."""
    for name in route.refused:
        for value in query.get(name, ()):
            if value.strip().lower() not in ("", "0", "false", "no", "none", "null", "[]", "{}"):
                raise Unsupported(f"unsupported: query parameter {name}")


def _head(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = []
    for piece in re.split(r"(\{[a-z]+\*?\})", pattern):
        if piece.endswith("*}"):
            parts.append(f"(?P<{piece[1:-2]}>.+)")
        elif piece.startswith("{"):
            parts.append(f"(?P<{piece[1:-1]}>[^/]+)")
        else:
            parts.append(re.escape(piece))
    return re.compile("".join(parts), re.DOTALL)
