"""The flags of `up` and `create` as what the planner is asked for."""

from __future__ import annotations

import time

from boxship.cli.call import Call, Failure
from boxship.cli.composing.opening import orphans_of, scales, timeout_of
from boxship.compose.model import Project
from boxship.compose.planning.options import UpOptions

PULLS = {"policy": "", "": "", "always": "always", "missing": "missing", "never": "never", "build": "build"}


def up_options(call: Call, project: Project) -> UpOptions:
    """Raises Failure for what does not go together."""
    options = call.options

    def on(name: str) -> bool:
        return options.has(name) and options.on(name)

    pull = options.text("pull")
    if pull not in PULLS:
        raise Failure(f"invalid --pull option {pull!r}: it must be one of always, missing, never, build, policy")
    if on("build") and on("no-build"):
        raise Failure("--build and --no-build are incompatible")
    remove, ignore = orphans_of(call, project)
    return UpOptions(
        services=tuple(call.arguments),
        scale=scales(options.texts("scale")),
        force_recreate=on("force-recreate"),
        no_recreate=on("no-recreate"),
        always_recreate_deps=on("always-recreate-deps"),
        no_deps=on("no-deps"),
        renew_anon_volumes=on("renew-anon-volumes"),
        no_start=on("no-start"),
        build=on("build") or PULLS[pull] == "build",
        no_build=on("no-build"),
        pull="" if PULLS[pull] == "build" else PULLS[pull],
        remove_orphans=remove,
        ignore_orphans=ignore,
        wait=on("wait"),
        wait_timeout=float(options.number("wait-timeout")) or None if options.has("wait-timeout") else None,
        timeout=timeout_of(call) if options.has("timeout") else None,
        quiet_pull=on("quiet-pull"),
        now=time.time_ns(),
    )
