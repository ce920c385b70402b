"""boxship compose scale: how many containers a service has."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, NO_DEPENDENCIES
from boxship.cli.flags import Command

COMMAND = Command("SERVICE=REPLICAS...", (DRY_RUN, NO_DEPENDENCIES), least=1, most=None, completes=("services",))


def run(call: Call) -> int:
    import time

    from boxship.cli.composing.opening import Opening, scales
    from boxship.compose.planning.options import UpOptions
    from boxship.compose.planning.up import scale
    from boxship.compose.running.session import image_phases

    opening = Opening(call)
    wanted = scales(call.arguments, "scale")
    options = UpOptions(
        services=tuple(wanted),
        scale=wanted,
        no_deps=call.options.on("no-deps"),
        now=time.time_ns(),
        ignore_orphans=True,
    )
    project = opening.load(tuple(wanted), grants=True)
    return opening.change(
        project,
        "Scale",
        *image_phases(project, options),
        lambda seen: scale(project, seen, options),
    )
