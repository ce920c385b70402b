"""boxship compose build: make the images of services, those that do not need each other side by side."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]",
    (
        Flag("--build-arg list", "Set build-time variables for services"),
        Flag("--builder string", "Set builder to use (refused)"),
        Flag("--check", "Check build configuration"),
        DRY_RUN,
        Flag("-m, --memory bytes", "Set memory limit for the build container"),
        Flag("--no-cache", "Do not use cache when building the image"),
        Flag("--print", "Print equivalent bake file (refused)"),
        Flag("--progress string", "Set type of ui output ('auto', 'tty', 'plain', 'json', 'quiet')"),
        Flag("--provenance string", "Add a provenance attestation (only 'false')"),
        Flag("--pull", "Always attempt to pull a newer version of the image"),
        Flag("--push", "Push service images"),
        Flag("-q, --quiet", "Suppress the build output"),
        Flag("--sbom string", "Add a SBOM attestation (only 'false')"),
        Flag("--ssh list", "Set SSH authentications used when building service images ('default' or ID=SOCKET)"),
        Flag("--with-dependencies", "Also build dependencies (transitively)"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.build_flags import change_builds, refuse_flags, watcher
    from boxship.cli.composing.opening import Opening
    from boxship.compose.planning.images import build
    from boxship.compose.planning.options import BuildOptions

    options = call.options
    refuse_flags(options)
    opening = Opening(call)
    opening.build_memory, opening.build_checks = options.number("memory"), options.on("check")
    opening.watch_builds = watcher(opening, quiet=options.on("quiet"))
    project = change_builds(opening.load(call.arguments, builds=True), call)
    asked = BuildOptions(
        services=tuple(call.arguments),
        with_dependencies=options.on("with-dependencies"),
        push=options.on("push") and not options.on("check"),
    )
    view = opening.view(f"Build {project.name}", quiet=options.on("quiet"))
    code = opening.change(project, "Build", lambda seen: build(project, seen, asked), view=view)
    return code or _told(call, opening.findings) if options.on("check") else code


def _told(call: Call, findings: list[tuple[str, dict[str, object]]]) -> int:
    """The findings of `--check` as a table; 1 where there are any."""
    from boxship.cli.building.checking import findings_table

    if not findings:
        call.line("Check complete, no findings.")
        return 0
    call.write(findings_table([finding for _, finding in findings]))
    raise Failure("", 1)
