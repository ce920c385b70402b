"""boxship compose commit: an image of a service container's filesystem as it is now."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, INDEX
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "SERVICE [REPOSITORY[:TAG]]",
    (
        Flag("-a, --author string", 'Author (for example "Ada Lovelace <ada@example.com>")'),
        Flag("-c, --change list", "Apply Dockerfile instruction to the created image"),
        DRY_RUN,
        INDEX,
        Flag("-m, --message string", "Commit message"),
        Flag("-p, --pause", "Pause container during commit", True),
    ),
    least=1,
    most=2,
    completes=("services", "images"),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.seen import one_container
    from boxship.cli.verbs import commit

    opening = Opening(call)
    service, index = call.arguments[0], call.options.number("index")
    found = one_container(opening, opening.project(), service, index, running=False)
    if opening.settings.dry_run:
        return 0
    call.arguments = [found["Id"], *call.arguments[1:]]
    return commit.run(call)
