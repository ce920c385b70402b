"""boxship compose watch: update containers when files change."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        DRY_RUN,
        Flag("--no-up", "Do not build & start services before watching"),
        Flag("--prune", "Prune dangling images on rebuild", True),
        Flag("--quiet", "Hide build output"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    import time

    from boxship.cli.composing.build_flags import watcher
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.watching import Watching
    from boxship.compose.planning.options import UpOptions
    from boxship.compose.planning.up import up
    from boxship.compose.running.session import image_phases

    options = call.options
    opening = Opening(call)
    opening.watch_builds = watcher(opening, quiet=options.on("quiet"))
    project = opening.load(call.arguments, grants=True)
    watching = Watching(opening, project, call.arguments, prune=options.on("prune"), quiet=options.on("quiet"))
    if not options.on("no-up"):
        asked = UpOptions(services=tuple(call.arguments), build=True, now=time.time_ns())
        view = opening.view(f"Up {project.name}", quiet=options.on("quiet"))
        code = opening.change(
            project, "Up", *image_phases(project, asked), lambda seen: up(project, seen, asked), view=view
        )
        if code:
            return code
    if opening.settings.dry_run:
        return 0
    watching.run()
    return 0
