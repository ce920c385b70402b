"""boxship compose start: start containers that are there."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        DRY_RUN,
        Flag("--wait", "Wait for services to be running|healthy"),
        Flag("--wait-timeout int", "Seconds to wait at most for the services to be running|healthy", 0),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.compose.planning.lifecycle import start
    from boxship.compose.planning.options import StartOptions

    opening = Opening(call)
    project = opening.project()
    options = StartOptions(
        services=tuple(call.arguments),
        wait=call.options.on("wait"),
        wait_timeout=float(call.options.number("wait-timeout")) or None,
    )
    return opening.change(project, "Start", lambda seen: start(project, seen, options))
