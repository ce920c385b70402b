"""Request paths as the original reads them (its RequestInfo): which resource, namespace, name and subresource, and by
which verb. Pure; whether such a resource exists is for the catalogue to say."""

import msgspec

# Parts of a namespace itself; anything else behind "namespaces/NAME/" is a resource in it.
NAMESPACE_PARTS = ("status", "finalize")
VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
PATH_CHARACTERS = 8192


class Target(msgspec.Struct, frozen=True):
    """What a path names. `verb` is the one that authorisers are asked for ("get" for a GET with a name); `rest` is what
    lies behind a subresource, as the client wrote it."""

    group: str
    version: str
    plural: str
    verb: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


def read_path(method: str, path: str) -> Target | None:
    """The resource that a decoded path names; None where it names none ("/healthz", "/apis/apps/v1")."""
    if len(path) > PATH_CHARACTERS:
        return None
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    verb = VERBS.get(method, "")
    if rest[0] == "watch" and len(rest) > 1:  # legacy
        rest = rest[1:]
        verb = "watch"
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_PARTS:
            rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    if not name:
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
    return Target(
        group=group,
        version=version,
        plural=rest[0],
        verb=verb,
        namespace=namespace,
        name=name,
        subresource=rest[2] if len(rest) > 2 else "",
        rest="/".join(rest[3:]),
    )
