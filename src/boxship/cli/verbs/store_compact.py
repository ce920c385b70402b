"""boxship store compact: forget a cluster's history, and give its space back."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag
from boxship.cli.keeping import FLAGS, FORMAT

COMMAND = Command(
    "",
    (
        *FLAGS,
        Flag("--keep string", "Forget changes that are older than this (1h, 30m)"),
        Flag("--before string", "Forget changes before this revision"),
        Flag("--shrink", "Give the space of what was forgotten back to the disk; writes wait meanwhile"),
        FORMAT,
    ),
    details="Objects stay as they are. Watches and lists of an older version are answered with 410 Gone afterwards.",
)


def run(call: Call) -> int:
    from boxship.cli.keeping import by_program, by_server, offline, told

    keep, before, shrink = call.options.text("keep"), call.options.text("before"), call.options.on("shrink")
    if not (keep or before or shrink):
        raise Failure("say what to keep (--keep 1h), before which revision (--before), or --shrink")
    if offline(call):
        words = [word for name, text in (("--keep", keep), ("--before", before)) if text for word in (name, text)]
        told(call, by_program(call, "compact", *words, *(["--shrink"] if shrink else [])))
    else:
        told(call, by_server(call, "POST", "compact", {"keep": keep, "before": before, "shrink": shrink}))
    return 0
