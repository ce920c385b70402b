"""boxship image inspect: everything about images."""

from boxship.cli.call import Call
from boxship.cli.escape import path_of
from boxship.cli.flags import Command, Flag
from boxship.cli.inspecting import FORMAT_FLAG, inspect_each

COMMAND = Command(
    "IMAGE [IMAGE...]",
    (
        FORMAT_FLAG,
        Flag("--platform string", "Inspect the given platform variant"),
    ),
    least=1,
    most=None,
    completes=("images",),
)


def run(call: Call) -> int:
    return inspect_each(
        call,
        call.arguments,
        lambda name: call.daemon.get(
            f"/images/{path_of(name)}/json", {"platform": call.options.text("platform") or None}
        ),
    )
