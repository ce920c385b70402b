"""boxship compose volumes: the project's volumes."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        DRY_RUN,
        Flag("--format string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template", "table"),
        Flag("-q, --quiet", "Only display volume names"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.tables import project_volumes
    from boxship.cli.verbs.volume_ls import listing

    opening = Opening(call)
    found = project_volumes(opening, opening.project(), call.arguments)
    if call.options.on("quiet"):
        call.write("".join(f"{volume['Name']}\n" for volume in found))
    else:
        call.write(listing().render(found, call.options.text("format")))
    return 0
