"""boxship cluster undo: make objects again what they were some time ago."""

from __future__ import annotations

import json

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag
from boxship.cli.kube.history import FLAGS

WORDS = {"create": "created again", "update": "changed back", "delete": "deleted", "leave": "left as it is"}
COMMAND = Command(
    "[TYPE [NAME] | TYPE/NAME]",
    (*FLAGS, Flag("--dry-run", "Say what would be done, and do nothing")),
    most=2,
    details="Without arguments: the whole namespace. What undo does is a change too, so it can be undone.",
)


def run(call: Call) -> int:
    from boxship.cli.kube.history import as_json, query_of, title
    from boxship.cli.kube.server import Server

    wants_json = as_json(call)
    server = Server(call)
    query = query_of(call, server)
    if call.options.on("dry-run"):
        query["dryRun"] = "All"
    found = server.ask("POST", "/boxship/undo", query)
    failed = [action for action in found["actions"] if action.get("error")]
    if wants_json:
        call.line(json.dumps(found))
        return 1 if failed else 0
    said = " (dry run)" if call.options.on("dry-run") else ""
    for action in found["actions"]:
        if action.get("error"):
            call.warn(f"boxship: {title(action)}: {action['error']}")
        else:
            call.line(f"{title(action)} {WORDS[action['action']]}{said}")
    if not found["actions"]:
        call.warn(f"nothing is different from {call.options.text('since')} ago")
    return 1 if failed else 0
