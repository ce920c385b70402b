"""boxship compose unpause: let paused services go on."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command

COMMAND = Command("[SERVICE...]", (DRY_RUN,), most=None, completes=("services",))


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.compose.planning.lifecycle import unpause
    from boxship.compose.planning.options import PauseOptions

    opening = Opening(call)
    project = opening.project()
    options = PauseOptions(services=tuple(call.arguments))
    return opening.change(project, "Unpause", lambda seen: unpause(project, seen, options))
