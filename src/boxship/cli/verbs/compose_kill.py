"""boxship compose kill: send a signal to containers."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, ORPHANS
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (DRY_RUN, ORPHANS, Flag("-s, --signal string", "SIGNAL to send to the container", "SIGKILL")),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening, orphans_of
    from boxship.compose.planning.lifecycle import kill
    from boxship.compose.planning.options import KillOptions

    opening = Opening(call)
    project = opening.project()
    options = KillOptions(
        services=tuple(call.arguments), signal=call.options.text("signal"), remove_orphans=orphans_of(call, project)[0]
    )
    return opening.change(project, "Kill", lambda seen: kill(project, seen, options))
