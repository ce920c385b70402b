"""boxship compose logs: what the project's containers said, and say."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, INDEX
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        DRY_RUN,
        Flag("-f, --follow", "Follow log output"),
        INDEX,
        Flag("--no-color", "Produce monochrome output"),
        Flag("--no-log-prefix", "Don't print prefix in logs"),
        Flag("--since string", "Show logs since timestamp (2013-01-02T13:23:37Z) or relative (42m for 42 minutes)"),
        Flag("-n, --tail string", "Number of lines to show from the end of the logs for each container", "all"),
        Flag("-t, --timestamps", "Show timestamps"),
        Flag("--until string", "Show logs before a timestamp (2013-01-02T13:23:37Z) or relative (42m for 42 minutes)"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.reading import follow_logs, show_logs
    from boxship.cli.composing.seen import containers, number_of

    opening = Opening(call)
    project = opening.project()
    found = containers(opening, project, call.arguments)
    index = call.options.number("index")
    if index:
        found = [item for item in found if number_of(item) == index]
    if call.options.on("follow"):
        return follow_logs(opening, project, found)
    show_logs(opening, found)
    return 0
