"""What `cluster history`, `diff` and `undo` have in common: which objects are meant, and how a change is shown."""

from __future__ import annotations

import json

from boxship.cli.call import Call, Failure
from boxship.cli.cluster.places import DATA_ROOT_FLAG
from boxship.cli.flags import Flag
from boxship.cli.kube.config import CONFIG_FLAGS
from boxship.cli.kube.naming import named
from boxship.cli.kube.server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
else:
    Object = dict

VALUE_WIDTH = 70  # characters of a value that a line shows
FLAGS = (
    *CONFIG_FLAGS,
    DATA_ROOT_FLAG,
    Flag("--format string", "Format output: text or json", "text"),
    Flag("--since string", "How far to look back (10m, 2h)", "1h"),
)
MARKS = {"created": "+", "deleted": "-", "changed": "~"}


def query_of(call: Call, server: Server) -> Object:
    """The request's parameters: one object, all of a type in the namespace, or everything in it. Raises Failure."""
    query: Object = {"since": call.options.text("since"), "namespace": server.namespace}
    if not call.arguments:
        return query
    found = named(server, call.arguments)
    if len(found) != 1:
        raise Failure("name one object, or one type, or nothing for the whole namespace")
    query["resource"] = f"{found[0].kind.api_version}/{found[0].kind.plural}"
    query["name"] = found[0].name
    if not found[0].kind.namespaced:
        query["namespace"] = ""
    return query


def as_json(call: Call) -> bool:
    form = call.options.text("format")
    if form not in ("text", "json"):
        raise Failure(f"unknown format {form!r}: it must be text or json")
    return form == "json"


def title(entry: Object) -> str:
    """ "deployments.apps/web in shop"."""
    group, _, plural = entry["resource"].rpartition("/")
    group = group.rpartition("/")[0]
    where = f" in {entry['namespace']}" if entry.get("namespace") else ""
    return f"{plural}{'.' + group if group else ''}/{entry['name']}{where}"


def operations(entry: Object) -> str:
    """The changed fields, one a line. A new object or one that went is only named."""
    if entry.get("action") != "changed":
        return ""
    return "".join(f"    {_line(operation)}\n" for operation in entry.get("operations") or [])


def _line(operation: Object) -> str:
    path = operation["path"].lstrip("/").replace("/", ".").replace("~1", "/").replace("~0", "~")
    if operation["op"] == "remove":
        return f"- {path}"
    text = json.dumps(operation.get("value"), ensure_ascii=False)
    text = text if len(text) <= VALUE_WIDTH else text[: VALUE_WIDTH - 1] + "…"
    return f"{'+' if operation['op'] == 'add' else '~'} {path}: {text}"
