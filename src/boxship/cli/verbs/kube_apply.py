"""boxship apply: make the cluster's objects as files say, by server-side apply."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag
from boxship.cli.kube.config import CONFIG_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
    from boxship.cli.kube.server import Server

MANAGER = "boxship"
COMMAND = Command(
    "-f FILE...",
    (
        *CONFIG_FLAGS,
        Flag("--dry-run string", "With 'server': say what would be done, and do nothing"),
        Flag("-f, --filename list", "Files, folders or - (standard input) with the objects", completes="files"),
        Flag("--force-conflicts", "Take fields that somebody else has set"),
        Flag("-o, --output string", "Print the objects: json, yaml or name"),
        Flag("-R, --recursive", "Folders with what is in them"),
    ),
    details="Objects that stand in files before those that need them are made in that order; namespaces go first.",
)
FIRST = ("Namespace", "CustomResourceDefinition")


def run(call: Call) -> int:
    from boxship.cli.kube.naming import objects_of
    from boxship.cli.kube.printing import printer
    from boxship.cli.kube.server import Server

    options = call.options
    if not options.texts("filename"):
        raise Failure("must specify one of -f FILE")
    if options.text("dry-run") not in ("", "none", "server"):
        raise Failure(f"unsupported: --dry-run={options.text('dry-run')}: it must be none or server")
    show = printer(options.text("output")) if options.text("output") else None
    server = Server(call)
    made = list(objects_of(call, server))
    if not made:
        raise Failure("no objects passed to apply")
    failed = 0
    for each in sorted(made, key=lambda each: each["kind"] not in FIRST):
        try:
            line, answer = _apply(call, server, each)
        except Failure as failure:
            call.warn(f"boxship: {failure}")
            failed += 1
            continue
        call.write(show(answer, None)) if show else call.line(line)
    return 1 if failed else 0


def _apply(call: Call, server: Server, made: Object) -> tuple[str, Object]:
    """The line to print, and the object as it is now. Raises Failure."""
    from boxship.cli.kube.naming import namespace_of
    from boxship.cli.kube.server import Refused

    kind = server.kind_of(made)
    name = (made.get("metadata") or {}).get("name")
    if not name:
        raise Failure(f"cannot apply a {made['kind']} without metadata.name")
    path = kind.path(namespace_of(server, kind, made), name)
    try:
        before: Object | None = server.ask("GET", path)
    except Refused as refused:
        if refused.code != 404:
            raise
        before = None
    dry = call.options.text("dry-run") == "server"
    query = {
        "fieldManager": MANAGER,
        "force": call.options.on("force-conflicts"),
        "dryRun": "All" if dry else "",
        "fieldValidation": "Strict",
    }
    answer = server.ask("PATCH", path, query, made, media_type="application/apply-patch+yaml")
    done = "created"
    if before is not None:
        done = "unchanged" if _is_same(before, answer, dry) else "configured"
    return f"{kind.shown(name)} {done}{' (server dry run)' if dry else ''}", answer


def _is_same(before: Object, after: Object, dry: bool) -> bool:
    """By the version; a dry run leaves that as it is, so there the content is compared, but for who owns what."""
    if not dry:
        return bool(before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion"))
    for made in (before, after):
        for field in ("managedFields", "generation"):
            made["metadata"].pop(field, None)
    return before == after
