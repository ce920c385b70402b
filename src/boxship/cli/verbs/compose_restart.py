"""boxship compose restart: stop containers and start them again."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, NO_DEPENDENCIES, TIMEOUT
from boxship.cli.flags import Command

COMMAND = Command("[SERVICE...]", (DRY_RUN, NO_DEPENDENCIES, TIMEOUT), most=None, completes=("services",))


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening, timeout_of
    from boxship.compose.planning.lifecycle import restart
    from boxship.compose.planning.options import RestartOptions

    opening = Opening(call)
    project = opening.project()
    options = RestartOptions(
        services=tuple(call.arguments), no_deps=call.options.on("no-deps"), timeout=timeout_of(call)
    )
    return opening.change(project, "Restart", lambda seen: restart(project, seen, options))
