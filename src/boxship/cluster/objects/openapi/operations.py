"""Every request that a resource answers, as values that both versions of the document are written from: path, method,
action, parameters, what is sent and what is answered.

The identifiers are built as the original's are, because generated clients are named after them.
"""

from collections.abc import Iterator, Mapping

import msgspec

from boxship.cluster.objects.resource import Resource, Subresource


class Parameter(msgspec.Struct, frozen=True):
    """`place` is "query" or "path"."""

    name: str
    type: str
    description: str
    place: str = "query"


def _table(*parameters: tuple[str, str, str]) -> tuple[Parameter, ...]:
    return tuple(Parameter(*each) for each in parameters)


PRETTY = Parameter("pretty", "string", "If 'true', the answer is indented.")
NAME = Parameter("name", "string", "The object's name.", "path")
NAMESPACE = Parameter("namespace", "string", "The object's namespace.", "path")
PATH = Parameter("path", "string", "The path of the proxied request.", "path")
DRY_RUN = Parameter("dryRun", "string", "'All': everything is checked and nothing is stored.")
MANAGER = Parameter("fieldManager", "string", "The name of the program or person that makes the change.")
FIELD_VALIDATION = Parameter(
    "fieldValidation",
    "string",
    "What happens to unknown and duplicate fields: Ignore drops them, Warn drops them with a warning, Strict refuses.",
)
FORCE = Parameter("force", "boolean", "With server-side apply: take fields from other managers.")
SELECTING = _table(
    ("continue", "string", "Where the last page ended."),
    ("fieldSelector", "string", "Only objects whose fields are like this."),
    ("labelSelector", "string", "Only objects whose labels are like this."),
    ("limit", "integer", "How many objects an answer has at most."),
    ("resourceVersion", "string", "The version from which the answer may be, or after which a watch begins."),
    ("resourceVersionMatch", "string", "How resourceVersion counts: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "With watch: begin with what is there."),
    ("timeoutSeconds", "integer", "How long a list or watch may take."),
)
BOOKMARKS = Parameter("allowWatchBookmarks", "boolean", "With watch: events that only tell the newest version.")
WATCH = Parameter("watch", "boolean", "Stay and tell changes as they come.")
LISTING = (BOOKMARKS, *SELECTING, WATCH)
DELETING = _table(
    ("gracePeriodSeconds", "integer", "How long the object may take to end; 0: it goes at once."),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "Delete an object that cannot be read."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
)
WRITING = (DRY_RUN, MANAGER, FIELD_VALIDATION)

LOG = _table(
    ("container", "string", "The container; may be left out where there is one."),
    ("follow", "boolean", "Stay and tell new lines as they come."),
    ("insecureSkipTLSVerifyBackend", "boolean", "Do not check the node's certificate."),
    ("limitBytes", "integer", "How many bytes the answer has at most."),
    ("previous", "boolean", "Of the container that ended before."),
    ("sinceSeconds", "integer", "Only lines of the last seconds."),
    ("stream", "string", "All, Stdout or Stderr."),
    ("tailLines", "integer", "Only the last lines."),
    ("timestamps", "boolean", "Each line begins with its time."),
)
STREAMS = _table(
    ("container", "string", "The container; may be left out where there is one."),
    ("stderr", "boolean", "Pass on standard error."),
    ("stdin", "boolean", "Pass on standard input."),
    ("stdout", "boolean", "Pass on standard output."),
    ("tty", "boolean", "On a terminal."),
)
COMMAND = Parameter("command", "string", "The program and its arguments, one after the other.")
PORTS = Parameter("ports", "integer", "The ports to forward.")
TARGET = Parameter("path", "string", "The path of the proxied request.")
CONNECTIONS: Mapping[str, tuple[Parameter, ...]] = {
    "PodAttachOptions": STREAMS,
    "PodExecOptions": (COMMAND, *STREAMS),
    "PodPortForwardOptions": (PORTS,),
    "PodProxyOptions": (TARGET,),
    "ServiceProxyOptions": (TARGET,),
    "NodeProxyOptions": (TARGET,),
}
METHODS = {"get": "get", "update": "put", "patch": "patch", "create": "post", "delete": "delete"}
ACTIONS = {"get": "get", "update": "put", "patch": "patch", "create": "post", "delete": "delete"}
WORDS = {"get": "read", "update": "replace", "patch": "patch", "create": "create", "delete": "delete"}
VERBS = {"get": "Get", "update": "Put", "patch": "Patch", "create": "Post", "delete": "Delete"}


class Operation(msgspec.Struct, frozen=True):
    """`sent` and `answered` are kinds (group, version, kind), "Patch", "text" or ""; `kind` is what
    x-kubernetes-group-version-kind says."""

    path: str
    method: str
    action: str
    identifier: str
    description: str
    kind: tuple[str, str, str]
    parameters: tuple[Parameter, ...]
    place: tuple[Parameter, ...]  # the parameters of the path
    sent: tuple[str, str, str] | str = ""
    answered: tuple[str, str, str] | str = ""
    tag: str = ""
    listed: bool = False  # the answer may also be a watch


STATUS_KIND = ("", "v1", "Status")
OPTIONS_KIND = ("", "v1", "DeleteOptions")


class _Writer:
    """The operations of one resource."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        group, version = resource.group, resource.version
        self._base = f"/apis/{group}/{version}" if group else f"/api/{version}"
        first = group.split(".")[0] if group else "core"
        self._group = _title(first) + _title(version)
        self._tag = f"{first}_{version}"
        self._own = (group, version, resource.kind)
        self._scope = "Namespaced" if resource.namespaced else ""

    def all(self) -> Iterator[Operation]:
        resource = self._resource
        place = (NAMESPACE, PRETTY) if resource.namespaced else (PRETTY,)
        inside = f"{self._base}/namespaces/{{namespace}}" if resource.namespaced else self._base
        collection = f"{inside}/{resource.plural}"
        listing = (self._own[0], self._own[1], f"{resource.kind}List")
        verbs = resource.verbs
        if resource.namespaced and "list" in verbs:
            yield self._list(f"{self._base}/{resource.plural}", (PRETTY,), "", "ForAllNamespaces", listing)
        if "list" in verbs:
            yield self._list(collection, place, self._scope, "", listing)
        if "create" in verbs:
            words = ("create", "post", "post", f"create{self._group}{self._scope}{resource.kind}")
            yield self._make(collection, place, words, WRITING, self._own, self._own)
        if "deletecollection" in verbs:
            name = f"delete{self._group}Collection{self._scope}{resource.kind}"
            asked = (*SELECTING, DRY_RUN, *DELETING)
            words = ("delete collection of", "delete", "deletecollection", name)
            yield self._make(collection, place, words, asked, OPTIONS_KIND, STATUS_KIND)
        item, place = f"{collection}/{{name}}", (NAME, *place)
        for verb in ("get", "update", "patch", "delete"):
            if verb in verbs:
                yield self._item(item, place, verb, "", self._own)
        for name, part in resource.subresources.items():
            yield from self._part(f"{item}/{name}", place, name, part)

    def _list(
        self, path: str, place: tuple[Parameter, ...], scope: str, suffix: str, listing: tuple[str, str, str]
    ) -> Operation:
        words = (
            "list or watch objects of kind",
            "get",
            "list",
            f"list{self._group}{scope}{self._resource.kind}{suffix}",
        )
        return self._make(path, place, words, LISTING, "", listing, listed=True)

    def _item(
        self, path: str, place: tuple[Parameter, ...], verb: str, suffix: str, kind: tuple[str, str, str]
    ) -> Operation:
        name = f"{WORDS[verb]}{self._group}{self._scope}{self._resource.kind}{suffix}"
        words = (WORDS[verb], METHODS[verb], ACTIONS[verb], name)
        sent: tuple[str, str, str] | str = ""
        asked: tuple[Parameter, ...] = ()
        answered: tuple[str, str, str] | str = kind
        if verb in ("update", "create"):
            sent, asked = kind, WRITING
        elif verb == "patch":
            sent, asked = "Patch", (*WRITING, FORCE)
        elif verb == "delete":
            sent, asked, answered = OPTIONS_KIND, (DRY_RUN, *DELETING), STATUS_KIND
        return self._make(path, place, words, asked, sent, answered, kind=kind)

    def _part(self, path: str, place: tuple[Parameter, ...], name: str, part: Subresource) -> Iterator[Operation]:
        own = (part.group or self._own[0], part.version or self._own[1], part.kind) if part.kind else self._own
        suffix = _title(name)
        if part.kind.endswith("Options"):
            yield from self._connections(path, place, suffix, part, own)
        elif name == "log":
            words = ("read log of", "get", "get", f"read{self._group}{self._scope}{self._resource.kind}Log")
            yield self._make(path, place, words, LOG, "", "text", kind=own)
        else:
            for verb in ("get", "create", "update", "patch"):
                if verb in part.verbs:
                    yield self._item(path, place, verb, suffix, own)

    def _connections(
        self, path: str, place: tuple[Parameter, ...], suffix: str, part: Subresource, own: tuple[str, str, str]
    ) -> Iterator[Operation]:
        for verb in ("get", "create", "update", "patch", "delete"):
            if verb not in part.verbs:
                continue
            name = f"connect{self._group}{VERBS[verb]}{self._scope}{self._resource.kind}{suffix}"
            words = (f"connect {METHODS[verb].upper()} requests to {suffix.lower()} of", METHODS[verb], "connect", name)
            asked = CONNECTIONS[part.kind]
            yield self._make(path, place, words, asked, "", "text", kind=own)
            if suffix == "Proxy":
                words = (*words[:3], f"{name}WithPath")
                yield self._make(f"{path}/{{path}}", (*place, PATH), words, asked, "", "text", kind=own)

    def _make(
        self,
        path: str,
        place: tuple[Parameter, ...],
        words: tuple[str, str, str, str],
        parameters: tuple[Parameter, ...],
        sent: tuple[str, str, str] | str,
        answered: tuple[str, str, str] | str,
        *,
        kind: tuple[str, str, str] | None = None,
        listed: bool = False,
    ) -> Operation:
        word, method, action, identifier = words
        kind = kind or self._own
        described = f"{word} {'the specified ' if NAME in place else ''}{kind[2]}"
        return Operation(
            path,
            method,
            action,
            identifier,
            described,
            kind,
            parameters,
            place,
            sent,
            answered,
            self._tag,
            listed,
        )


def _title(word: str) -> str:
    return word[:1].upper() + word[1:]


def operations(resource: Resource) -> Iterator[Operation]:
    """Of one resource, in the order of their paths."""
    yield from _Writer(resource).all()


def by_path(found: Iterator[Operation]) -> dict[str, list[Operation]]:
    paths: dict[str, list[Operation]] = {}
    for each in found:
        paths.setdefault(each.path, []).append(each)
    return paths
