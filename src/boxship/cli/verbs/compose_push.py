"""boxship compose push: send the images of services to their registries."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        DRY_RUN,
        Flag("--ignore-push-failures", "Push what it can and ignores images with push failures"),
        Flag("--include-deps", "Also push images of services declared as dependencies"),
        Flag("-q, --quiet", "Push without printing progress information"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.compose.planning.images import push
    from boxship.compose.planning.options import PushOptions

    options = call.options
    opening = Opening(call)
    project = opening.load(call.arguments)
    asked = PushOptions(
        services=tuple(call.arguments),
        include_deps=options.on("include-deps"),
        ignore_failures=options.on("ignore-push-failures"),
    )
    view = opening.view(f"Push {project.name}", quiet=options.on("quiet"))
    return opening.change(project, "Push", lambda seen: push(project, seen, asked), view=view)
