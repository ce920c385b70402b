"""boxship compose wait: until containers end; the exit code is that of the last one."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "SERVICE [SERVICE...]",
    (Flag("--down-project", "Drops project when the first container stops"), DRY_RUN),
    least=1,
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.enduring import wait_for_all, wait_for_first
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.seen import containers
    from boxship.compose.planning.down import down
    from boxship.compose.planning.options import DownOptions
    from boxship.compose.planning.selecting import recovered
    from boxship.errors import NotFound

    opening = Opening(call)
    project = opening.project()
    found = containers(opening, project, call.arguments)
    if not found:
        raise NotFound(f'no containers for project "{project.name}"')
    if opening.settings.dry_run:
        return 0
    if not call.options.on("down-project"):
        return wait_for_all(opening, found)
    code = wait_for_first(opening, found)
    whole = recovered(project.name, opening.host.observe(project.name))  # whatever is there, in the file or not
    asked = DownOptions(remove_orphans=True)
    return opening.change(whole, "Down", lambda seen: down(whole, seen, asked)) or code
