"""boxship compose pull: fetch the images of services."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        DRY_RUN,
        Flag("--ignore-buildable", "Ignore images that can be built"),
        Flag("--ignore-pull-failures", "Pull what it can and ignores images with pull failures"),
        Flag("--include-deps", "Also pull services declared as dependencies"),
        Flag("--policy string", "Apply pull policy ('missing'|'always')"),
        Flag("-q, --quiet", "Pull without printing progress information"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.compose.planning.images import pull
    from boxship.compose.planning.options import PullOptions

    options = call.options
    if options.text("policy") not in ("", "missing", "always"):
        raise Failure(f"invalid --policy {options.text('policy')!r}: it must be missing or always")
    opening = Opening(call)
    project = opening.load(call.arguments)
    asked = PullOptions(
        services=tuple(call.arguments),
        policy=options.text("policy"),
        include_deps=options.on("include-deps"),
        ignore_buildable=options.on("ignore-buildable"),
        ignore_failures=options.on("ignore-pull-failures"),
    )
    view = opening.view(f"Pull {project.name}", quiet=options.on("quiet"))
    return opening.change(project, "Pull", lambda seen: pull(project, seen, asked), view=view)
