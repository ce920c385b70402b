"""boxship compose down: stop and remove what `up` made."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, ORPHANS, TIMEOUT
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        DRY_RUN,
        ORPHANS,
        Flag("--rmi string", "Remove images used by services ('local': those without a name of their own, 'all')"),
        TIMEOUT,
        Flag("-v, --volumes", "Remove named volumes of the file, and anonymous volumes of the containers"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening, orphans_of, timeout_of
    from boxship.compose.planning.down import down
    from boxship.compose.planning.options import DownOptions

    opening = Opening(call)
    project = opening.project()
    remove, ignore = orphans_of(call, project)
    options = DownOptions(
        services=tuple(call.arguments),
        images=call.options.text("rmi"),
        volumes=call.options.on("volumes"),
        remove_orphans=remove,
        ignore_orphans=ignore,
        timeout=timeout_of(call),
    )
    return opening.change(project, "Down", lambda seen: down(project, seen, options))
