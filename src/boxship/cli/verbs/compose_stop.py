"""boxship compose stop: containers end, and stay."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, TIMEOUT
from boxship.cli.flags import Command

COMMAND = Command("[SERVICE...]", (DRY_RUN, TIMEOUT), most=None, completes=("services",))


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening, timeout_of
    from boxship.compose.planning.lifecycle import stop
    from boxship.compose.planning.options import StopOptions

    opening = Opening(call)
    project = opening.project()
    options = StopOptions(services=tuple(call.arguments), timeout=timeout_of(call))
    return opening.change(project, "Stop", lambda seen: stop(project, seen, options))
