"""boxship compose why: in sentences, why a service is up, or is not."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command

COMMAND = Command("[SERVICE...]", (DRY_RUN,), most=None, completes=("services",))


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.reasons import told
    from boxship.compose.planning.selecting import named

    opening = Opening(call)
    project = opening.project()
    names = list(named(project, call.arguments))
    for line in told(opening, project, names):
        call.line(line)
    return 0
