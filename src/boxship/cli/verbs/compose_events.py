"""boxship compose events: what happens to the project's containers, as it happens."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        DRY_RUN,
        Flag("--json", "Output events as a stream of json objects"),
        Flag("--since string", "Show all events created since timestamp"),
        Flag("--until string", "Stream events until this timestamp"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    import sys

    from boxship.cli.composing.happening import event_fields, event_line
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.tables import json_text
    from boxship.cli.times import timestamp
    from boxship.compose.planning.observed import LABEL_ONE_OFF, LABEL_SERVICE
    from boxship.compose.planning.selecting import named

    opening = Opening(call)
    project = opening.project()
    wanted = set(named(project, call.arguments)) if call.arguments else set()
    moments = {name: call.options.text(name) for name in ("since", "until")}
    for event in opening.host.listen(
        project.name, **{name: timestamp(text) if text else "" for name, text in moments.items()}
    ):
        attributes = (event.get("Actor") or {}).get("Attributes") or {}
        service = attributes.get(LABEL_SERVICE, "")
        if attributes.get(LABEL_ONE_OFF) == "True" or (wanted and service not in wanted):
            continue
        call.write(json_text(event_fields(event)) if call.options.on("json") else event_line(event) + "\n")
        sys.stdout.flush()
    return 0
