"""boxship compose attach: our streams to a service's running container."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, INDEX
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "SERVICE",
    (
        Flag("--detach-keys string", "Override the key sequence for detaching from a container"),
        DRY_RUN,
        INDEX,
        Flag("--no-stdin", "Do not attach STDIN"),
        Flag("--sig-proxy", "Proxy all received signals to the process", True),
    ),
    least=1,
    most=1,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.seen import one_container
    from boxship.cli.verbs import attach

    opening = Opening(call)
    found = one_container(opening, opening.project(), call.arguments[0], call.options.number("index"))
    if opening.settings.dry_run:
        return 0
    call.arguments = [found["Id"]]
    return attach.run(call)
