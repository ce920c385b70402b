"""boxship compose pause: stop all processes of services where they are."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command

COMMAND = Command("[SERVICE...]", (DRY_RUN,), most=None, completes=("services",))


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.compose.planning.lifecycle import pause
    from boxship.compose.planning.options import PauseOptions

    opening = Opening(call)
    project = opening.project()
    options = PauseOptions(services=tuple(call.arguments))
    return opening.change(project, "Pause", lambda seen: pause(project, seen, options))
