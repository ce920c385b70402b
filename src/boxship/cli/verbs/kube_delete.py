"""boxship delete: take objects away, and wait until they are gone."""

from __future__ import annotations

import time

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag, UsageError
from boxship.cli.kube.config import CONFIG_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
    from boxship.cli.kube.naming import Named
    from boxship.cli.kube.server import Server

CASCADES = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}
COMMAND = Command(
    "TYPE NAME... | TYPE/NAME... | TYPE -l SELECTOR | -f FILE...",
    (
        *CONFIG_FLAGS,
        Flag("--all", "All objects of the type in the namespace"),
        Flag("--cascade string", "What happens to dependents: background, foreground or orphan", "background"),
        Flag("--dry-run string", "With 'server': say what would be done, and do nothing"),
        Flag("-f, --filename list", "Files, folders or - with the objects", completes="files"),
        Flag("--force", "Do not wait for pods to end; needs --grace-period=0"),
        Flag("--grace-period int", "Seconds that a pod gets to end (-1: its own)", -1),
        Flag("--ignore-not-found", "What is not there is no error"),
        Flag("-R, --recursive", "Folders with what is in them"),
        Flag("-l, --selector string", "What has these labels"),
        Flag("--timeout duration", "Longest wait (0: any)"),
        Flag("--wait", "Return when the objects are gone", True),
    ),
    most=None,
)
LOOK_SECONDS = 0.2


def run(call: Call) -> int:
    from boxship.cli.kube.server import Refused, Server

    options = call.options
    if options.text("cascade") not in CASCADES:
        raise UsageError(
            f"invalid cascade value {options.text('cascade')!r}: it must be one of {', '.join(CASCADES)}", 1
        )
    if options.text("dry-run") not in ("", "none", "server"):
        raise Failure(f"unsupported: --dry-run={options.text('dry-run')}: it must be none or server")
    server = Server(call)
    gone, failed = [], 0
    for wanted, namespace in _wanted(call, server):
        try:
            gone.append((wanted, namespace, _delete(call, server, wanted, namespace)))
        except Refused as refused:
            if refused.code == 404 and options.on("ignore-not-found"):
                continue
            call.warn(f"boxship: {refused}")
            failed += 1
    if options.on("wait") and options.text("dry-run") != "server":
        _wait(call, server, gone)
    return 1 if failed else 0


def _wanted(call: Call, server: Server) -> list[tuple[Named, str]]:
    from boxship.cli.kube.naming import Named, named, namespace_of, objects_of

    options = call.options
    if options.texts("filename"):
        made = [(server.kind_of(each), each) for each in objects_of(call, server)]
        made.reverse()  # what was made last goes first
        return [(Named(kind, each["metadata"]["name"]), namespace_of(server, kind, each)) for kind, each in made]
    wanted = named(server, call.arguments)
    if all(each.name for each in wanted):
        return [(each, server.namespace) for each in wanted]
    if not options.on("all") and not options.text("selector"):
        raise Failure("resource(s) were provided, but no name was specified: name them, or use -l or --all")
    found = []
    for each in wanted:
        query = {"labelSelector": options.text("selector")}
        listed = server.ask("GET", each.kind.path(server.namespace), query).get("items") or []
        found += [(Named(each.kind, item["metadata"]["name"]), server.namespace) for item in listed]
    return found


def _delete(call: Call, server: Server, wanted: Named, namespace: str) -> Object:
    options = call.options
    body: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
    body["propagationPolicy"] = CASCADES[options.text("cascade")]
    grace = options.number("grace-period")
    if options.on("force"):
        if grace not in (-1, 0):
            raise UsageError("--force and --grace-period greater than 0 cannot be specified together", 1)
        grace = 0
    if grace >= 0:
        body["gracePeriodSeconds"] = grace
    if options.text("dry-run") == "server":
        body["dryRun"] = ["All"]
    answer = server.ask("DELETE", wanted.kind.path(namespace, wanted.name), None, body)
    said = " (server dry run)" if options.text("dry-run") == "server" else ""
    call.line(f'{wanted.kind.shown("")[:-1]} "{wanted.name}" deleted{said}')
    return answer


def _wait(call: Call, server: Server, gone: list[tuple[Named, str, Object]]) -> None:
    """Until each is not there any more, or another object has its name."""
    from boxship.cli.kube.server import Refused

    seconds = call.options.number("timeout") / 1e9
    deadline = time.monotonic() + seconds if seconds else None
    for wanted, namespace, answer in gone:
        uid = (answer.get("details") or {}).get("uid") or (answer.get("metadata") or {}).get("uid")
        while True:
            try:
                now = server.ask("GET", wanted.kind.path(namespace, wanted.name))
            except Refused as refused:
                if refused.code == 404:
                    break
                raise
            if uid and now["metadata"].get("uid") != uid:
                break
            if deadline is not None and time.monotonic() > deadline:
                raise Failure(f"timed out waiting for {wanted.kind.shown(wanted.name)} to be gone")
            time.sleep(LOOK_SECONDS)
