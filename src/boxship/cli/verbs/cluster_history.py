"""boxship cluster history: what happened to an object, a type or a namespace, when, and by whom."""

from __future__ import annotations

import json

from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.cli.kube.history import FLAGS

COMMAND = Command(
    "[TYPE [NAME] | TYPE/NAME]",
    FLAGS,
    most=2,
    details="Changes are kept as long as boxship-control's --history says. Without arguments: the whole namespace.",
)


def run(call: Call) -> int:
    from boxship.cli.kube.history import MARKS, as_json, operations, query_of, title
    from boxship.cli.kube.server import Server

    wants_json = as_json(call)
    server = Server(call)
    found = server.ask("GET", "/boxship/history", query_of(call, server))
    if wants_json:
        call.line(json.dumps(found))
        return 0
    for change in found["changes"]:
        by = f" by {', '.join(change['by'])}" if change.get("by") else ""
        call.line(f"{change['time']}  {change['revision']:>8}  {MARKS[change['action']]} {title(change)}{by}")
        call.write(operations(change))
    if not found["changes"]:
        call.warn(f"nothing changed in the last {call.options.text('since')}")
    return 0
