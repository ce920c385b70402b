"""boxship get: objects of the cluster as a table, or in another form; with -w also what changes."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag
from boxship.cli.kube.config import CONFIG_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
    from boxship.cli.kube.naming import Named
    from boxship.cli.kube.server import Server

COMMAND = Command(
    "TYPE [NAME...] | TYPE/NAME...",
    (
        *CONFIG_FLAGS,
        Flag("-A, --all-namespaces", "In all namespaces"),
        Flag("--field-selector string", "Only what has these field values (metadata.name=web)"),
        Flag("-f, --filename list", "Get the objects that these files name", completes="files"),
        Flag("--ignore-not-found", "Say nothing of what does not exist"),
        Flag("--no-headers", "Leave the header line out"),
        Flag("-o, --output string", "Form: json, yaml, name, wide, jsonpath=…, go-template=…, custom-columns=…"),
        Flag("-l, --selector string", "Only what has these labels (app=web,tier!=db)"),
        Flag("--show-labels", "Show labels as the last column"),
        Flag("-w, --watch", "Go on and show what changes"),
    ),
    most=None,
)


def run(call: Call) -> int:
    from boxship.cli.kube.naming import Named, named, objects_of
    from boxship.cli.kube.printing import is_table, printer
    from boxship.cli.kube.server import Server

    server = Server(call)
    form = call.options.text("output")
    show = None if is_table(form) else printer(form)
    if call.options.texts("filename"):
        made = list(objects_of(call, server))
        wanted = [Named(server.kind_of(each), each["metadata"]["name"]) for each in made]
    else:
        wanted = named(server, call.arguments)
    if call.options.on("all-namespaces") and any(each.name for each in wanted):
        raise Failure("a resource cannot be retrieved by name across all namespaces")
    if call.options.on("watch"):
        if len(wanted) != 1:
            raise Failure("you may only specify a single resource type with --watch")
        return _watch(call, server, wanted[0])
    if show is None:
        return _tables(call, server, wanted)
    found = [each for part in wanted for each in _objects(call, server, part)]
    if len(wanted) == 1 and wanted[0].name:
        call.write("".join(show(each, wanted[0].kind) for each in found))
    else:
        call.write(show({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": found}, None))
    return 0


def _path(call: Call, server: Server, wanted: Named) -> str:
    namespace = "" if call.options.on("all-namespaces") else server.namespace
    return wanted.kind.path(namespace, wanted.name)


def _query(call: Call) -> dict[str, object]:
    options = call.options
    return {"labelSelector": options.text("selector"), "fieldSelector": options.text("field-selector")}


def _objects(call: Call, server: Server, wanted: Named) -> list[Object]:
    from boxship.cli.kube.server import Refused

    try:
        answer = server.ask("GET", _path(call, server, wanted), {} if wanted.name else _query(call))
    except Refused as refused:
        if refused.code == 404 and call.options.on("ignore-not-found"):
            return []
        raise
    if wanted.name:
        return [answer]
    version, kind = answer["apiVersion"], answer["kind"].removesuffix("List")
    return [{"apiVersion": version, "kind": kind, **item} for item in answer.get("items") or []]


def _tables(call: Call, server: Server, wanted: list[Named]) -> int:
    from boxship.cli.kube.printing import table_lines
    from boxship.cli.kube.server import TABLE, Refused

    options = call.options
    several = len({each.kind.qualified for each in wanted}) > 1
    shown = []
    tables: list[tuple[Named, Object]] = []
    for each in wanted:
        try:
            table = server.ask("GET", _path(call, server, each), {} if each.name else _query(call), accept=TABLE)
        except Refused as refused:
            if refused.code == 404 and options.on("ignore-not-found"):
                continue
            raise
        last = tables[-1] if tables else None
        if last is not None and last[0].kind is each.kind and not several:
            last[1]["rows"] = [*(last[1].get("rows") or []), *(table.get("rows") or [])]
        else:
            tables.append((each, table))
    for each, table in tables:
        if not table.get("rows"):
            continue
        namespaces = options.on("all-namespaces") and each.kind.namespaced
        prefix = each.kind.shown("") if several else ""
        wide, labels = options.text("output") == "wide", options.on("show-labels")
        shown.append(table_lines(table, wide, labels, namespaces, not options.on("no-headers"), prefix))
    if shown:
        call.write("\n".join(shown))
    elif not options.on("ignore-not-found"):
        inside = (
            "" if options.on("all-namespaces") or not wanted[0].kind.namespaced else f" in {server.namespace} namespace"
        )
        call.warn(f"No resources found{inside}")
    return 0


def _watch(call: Call, server: Server, wanted: Named) -> int:
    """The table, then a line for each change; one named object is selected by its name."""
    import sys

    from boxship.cli.kube.naming import Named
    from boxship.cli.kube.printing import is_table, printer, table_lines
    from boxship.cli.kube.server import TABLE

    form = call.options.text("output")
    everything = Named(wanted.kind)
    query = _query(call)
    if wanted.name:
        query["fieldSelector"] = ",".join(filter(None, (f"metadata.name={wanted.name}", str(query["fieldSelector"]))))
    headers = not call.options.on("no-headers")
    namespaces = call.options.on("all-namespaces") and wanted.kind.namespaced
    columns: list[Object] = []
    for event in server.events(_path(call, server, everything), query, TABLE if is_table(form) else "application/json"):
        if event["type"] == "ERROR":
            raise Failure(f"the watch ended: {event['object'].get('message', '')}")
        if event["type"] == "BOOKMARK":
            continue
        if not is_table(form):
            call.write(printer(form)(event["object"], wanted.kind))
        else:
            table = event["object"]
            columns = table.get("columnDefinitions") or columns
            table["columnDefinitions"] = columns
            wide, labels = form == "wide", call.options.on("show-labels")
            call.write(table_lines(table, wide, labels, namespaces, headers))
            headers = False
        sys.stdout.flush()
    return 0
