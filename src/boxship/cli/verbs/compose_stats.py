"""boxship compose stats: what the project's containers use, live."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        Flag("-a, --all", "Show all containers (default shows just running)"),
        DRY_RUN,
        Flag("--format string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("--no-stream", "Disable streaming stats and only pull the first result"),
        Flag("--no-trunc", "Do not truncate output"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.seen import containers
    from boxship.cli.stats_numbers import listing
    from boxship.cli.verbs import stats

    opening = Opening(call)
    found = containers(opening, opening.project(), call.arguments, stopped=call.options.on("all"))
    if not found:
        call.write(listing(call.options.on("no-trunc")).render([], call.options.text("format")))
        return 0
    call.arguments = [item["Id"] for item in found]
    return stats.run(call)
