"""boxship cluster status: which of a cluster's processes run, and what the API says of its parts."""

from __future__ import annotations

import json

from boxship.cli.call import Call
from boxship.cli.cluster.places import ROOT_FLAGS
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "",
    (*ROOT_FLAGS, Flag("--format string", "Format output: table or json", "table")),
    details="Ends with 0 when the API is ready, else with 1.",
)


def run(call: Call) -> int:
    from boxship.cli.cluster.joining import nodes_of
    from boxship.cli.cluster.members import (
        Record,
        checks,
        control_answers,
        control_process,
        engine_answers,
        engine_process,
    )
    from boxship.cli.cluster.places import places_of
    from boxship.cli.flags import UsageError
    from boxship.cli.table import align

    form = call.options.text("format")
    if form not in ("table", "json"):
        raise UsageError(f"unknown format {form!r}: it must be table or json", 1)
    places = places_of(call)
    known = Record.read(places.record)
    record = known or Record()
    ready = control_answers(places, record)
    rows = [
        {
            "name": "boxship-control",
            "state": "ready" if ready else ("not ready" if control_process(places, record).running() else "stopped"),
            "process": control_process(places, record).running(),
            "address": record.server,
        },
        {
            "name": "boxshipd",
            "state": "ready" if engine_answers(places) else "stopped",
            "process": engine_process(places).running(),
            "address": f"unix://{places.engine_socket}",
        },
    ]
    parts = dict(_parts(checks(places, record)))
    nodes = nodes_of(places, record.server) if ready else []
    if form == "json":
        call.line(
            json.dumps(
                {"processes": rows, "checks": parts, "nodes": nodes, "data": str(places.data), "run": str(places.run)}
            )
        )
        return 0 if ready else 1
    table = [["NAME", "STATE", "PROCESS", "ADDRESS"]]
    table += [[str(row["name"]), str(row["state"]), str(row["process"] or "-"), str(row["address"])] for row in rows]
    call.write(align(table))
    if nodes:
        call.line("")
        call.write(align([["NODE", "STATE", "ADDRESS", "PODS"], *([*node.values()] for node in nodes)]))
    failing = [f"{name}: {said}" for name, said in parts.items() if said != "ok"]
    for line in failing:
        call.line(line)
    return 0 if ready else 1


def _parts(page: str) -> list[tuple[str, str]]:
    """The lines "[+]etcd ok" and "[-]etcd failed: why" of the verbose page."""
    found = []
    for line in page.splitlines():
        if line.startswith(("[+]", "[-]")):
            name, _, said = line[3:].partition(" ")
            found.append((name, said))
    return found
