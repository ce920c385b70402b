"""Which handler a path and a method mean, and which right the handler needs. One table."""

import re
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from boxship.doors.oci import blobs, manifests
from boxship.doors.oci.call import Call
from boxship.transport.exchange import Reply

Handler = Callable[[Call], Awaitable[Reply]]

NAME = r"(?P<name>[^?#]+?)"
PART = r"[^/?#]+"


class Action(msgspec.Struct, frozen=True):
    """A handler, and the right in the repository that it needs."""

    handler: Handler
    right: str


class Route(msgspec.Struct, frozen=True):
    """A form of path; `label` names it in metrics."""

    label: str
    pattern: re.Pattern[str]
    actions: Mapping[str, Action]


def _route(label: str, pattern: str, **actions: tuple[Handler, str]) -> Route:
    found = {method.upper(): Action(handler, right) for method, (handler, right) in actions.items()}
    return Route(label, re.compile(pattern), found)


# The longer forms come first: a repository may have parts called "blobs" or "manifests".
ROUTES = (
    _route(
        "upload",
        rf"/v2/{NAME}/blobs/uploads/(?P<upload>{PART})",
        get=(blobs.status, "push"),
        head=(blobs.status, "push"),
        patch=(blobs.patch, "push"),
        put=(blobs.put, "push"),
        delete=(blobs.cancel, "push"),
    ),
    _route("uploads", rf"/v2/{NAME}/blobs/uploads/?", post=(blobs.start, "push")),
    _route(
        "blob",
        rf"/v2/{NAME}/blobs/(?P<digest>{PART})",
        get=(blobs.get, "pull"),
        head=(blobs.head, "pull"),
        delete=(blobs.delete, "delete"),
    ),
    _route(
        "manifest",
        rf"/v2/{NAME}/manifests/(?P<reference>{PART})",
        get=(manifests.get, "pull"),
        head=(manifests.head, "pull"),
        put=(manifests.put, "push"),
        delete=(manifests.delete, "delete"),
    ),
    _route("tags", rf"/v2/{NAME}/tags/list", get=(manifests.tags, "pull"), head=(manifests.tags, "pull")),
    _route(
        "referrers",
        rf"/v2/{NAME}/referrers/(?P<digest>{PART})",
        get=(manifests.referrers, "pull"),
        head=(manifests.referrers, "pull"),
    ),
)


def find(path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a path below a repository, and the names in it."""
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match is not None:
            return route, match.groupdict()
    return None
