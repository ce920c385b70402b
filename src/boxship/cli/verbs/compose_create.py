"""boxship compose create: make containers without starting them."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, MAKING
from boxship.cli.flags import Command

COMMAND = Command("[SERVICE...]", (DRY_RUN, *MAKING), most=None, completes=("services",))


def run(call: Call) -> int:
    from boxship.cli.composing.making import making_phases, up_options
    from boxship.cli.composing.opening import Opening
    from boxship.compose.planning.up import create

    opening = Opening(call)
    project = opening.load(call.arguments, grants=True, builds=call.options.on("build"))
    options = up_options(call, project)
    phases = making_phases(call, project, options, lambda seen: create(project, seen, options))
    return opening.change(project, "Create", *phases)
