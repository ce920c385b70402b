"""boxship compose rm: remove stopped containers."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        DRY_RUN,
        Flag("-f, --force", "Don't ask to confirm removal"),
        Flag("-s, --stop", "Stop the containers, if required, before removing"),
        Flag("-v, --volumes", "Remove any anonymous volumes attached to containers"),
    ),
    most=None,
    completes=("services",),
    details="By default, anonymous volumes attached to containers will not be removed. You can override this with -v.",
)
STOPPED = ("created", "exited", "dead")


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening, confirm
    from boxship.compose.planning.lifecycle import remove
    from boxship.compose.planning.options import RemoveOptions
    from boxship.compose.planning.selecting import named

    options = call.options
    opening = Opening(call)
    project = opening.project()
    wanted = named(project, call.arguments)
    seen = opening.host.observe(project.name)
    found = [
        one.name for one in seen.containers if one.service in wanted and (options.on("stop") or one.state in STOPPED)
    ]
    if not found:
        call.warn("No stopped containers")
        return 0
    if not options.on("force") and not opening.settings.dry_run:
        call.line(f"Going to remove {', '.join(sorted(found))}")
        if not confirm(call, "Are you sure?"):
            return 0
    asked = RemoveOptions(services=tuple(call.arguments), stop=options.on("stop"), volumes=options.on("volumes"))
    return opening.change(project, "Remove", lambda seen: remove(project, seen, asked))
