"""boxship cluster diff: how objects differ from what they were some time ago."""

from __future__ import annotations

import json

from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.cli.kube.history import FLAGS

COMMAND = Command("[TYPE [NAME] | TYPE/NAME]", FLAGS, most=2, details="Without arguments: the whole namespace.")


def run(call: Call) -> int:
    from boxship.cli.kube.history import MARKS, as_json, operations, query_of, title
    from boxship.cli.kube.server import Server

    wants_json = as_json(call)
    server = Server(call)
    found = server.ask("GET", "/boxship/diff", query_of(call, server))
    if wants_json:
        call.line(json.dumps(found))
        return 0
    for entry in found["objects"]:
        call.line(f"{MARKS[entry['action']]} {title(entry)}")
        call.write(operations(entry))
    if not found["objects"]:
        call.warn(f"nothing is different from {call.options.text('since')} ago")
    return 0
