"""boxship simulate: a cluster without containers on a control plane of its own, and figures of it."""

from __future__ import annotations

import os

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "",
    (
        Flag("--format string", "Format output: table or json", "table"),
        Flag("--kind list", "Only pods of this kind: plain, spread, anti-affinity"),
        Flag("--nodes int", "Number of nodes", 100),
        Flag("--pods int", "Number of pods of each kind", 1000),
        Flag("-q, --quiet", "Print the figures alone"),
        Flag("--run int", "Then let real agents on all nodes run this many further pods"),
        Flag(
            "--seed int", "Instead: controllers and agents in a world without a clock that follows from this number", -1
        ),
        Flag("--seeds int", "This many seeds from that one on", 1),
        Flag("--store string", "Where the control plane keeps its state (default: SQLite, in a folder that goes)"),
    ),
    details="Takes a real boxship-control, started for this alone; pods are written before the scheduler runs.",
)


def run(call: Call) -> int:
    from boxship.cli.cluster.processes import program

    options = call.options
    words = [program("boxship-control"), "simulate"]
    words += ["--nodes", str(options.number("nodes")), "--pods", str(options.number("pods"))]
    words += ["--run", str(options.number("run")), "--format", options.text("format")]
    words += [word for kind in options.texts("kind") for word in ("--kind", kind)]
    words += ["--store", options.text("store")] if options.text("store") else []
    words += ["--quiet"] if options.on("quiet") else []
    if options.number("seed") >= 0:
        words += ["--seed", str(options.number("seed")), "--seeds", str(options.number("seeds"))]
    # A seed's world is the same each time only if sets of texts are.
    os.execve(words[0], words, {**call.environment, "PYTHONHASHSEED": "0"})
