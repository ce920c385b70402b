"""boxship node status: which cluster this machine is a node of, and how the node's parts stand."""

from __future__ import annotations

import json

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "",
    (Flag("--format string", "Format output: table or json", "table"),),
    details="Ends with 0 when all parts run, else with 1.",
)


def run(call: Call) -> int:
    from boxship.cli.flags import UsageError
    from boxship.cli.table import align

    form = call.options.text("format")
    if form not in ("table", "json"):
        raise UsageError(f"unknown format {form!r}: it must be table or json", 1)
    state = call.daemon.get("/boxship/node")
    well = all(part["State"] == "running" for part in state["Parts"])
    if form == "json":
        call.line(json.dumps(state))
        return 0 if well else 1
    call.line(f"node {state['NodeName']} of {state['Server']}")
    call.line(f"address {state['Address'] or '-'}, pods {state['PodCIDR'] or '-'}")
    call.line(f"certificate until {state['CertificateUntil'] or '-'}")
    table = [["PART", "STATE", "WHY"]]
    table += [[part["Name"], part["State"], part["Why"] or "-"] for part in state["Parts"]]
    call.write(align(table))
    return 0 if well else 1
