"""boxship compose export: a service container's filesystem as a tar archive."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, INDEX
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "SERVICE",
    (DRY_RUN, INDEX, Flag("-o, --output string", "Write to a file, instead of STDOUT", completes="files")),
    least=1,
    most=1,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.seen import one_container
    from boxship.cli.verbs import export

    opening = Opening(call)
    service, index = call.arguments[0], call.options.number("index")
    found = one_container(opening, opening.project(), service, index, running=False)
    if opening.settings.dry_run:
        return 0
    call.arguments = [found["Id"]]
    return export.run(call)
