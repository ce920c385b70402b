"""boxship pull: fetch an image from a registry."""

from boxship.cli.call import Call
from boxship.cli.containers import pull_image
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "NAME[:TAG|@DIGEST]",
    (
        Flag("--platform string", "Set platform if server is multi-platform capable"),
        Flag("-q, --quiet", "Suppress verbose output"),
    ),
    least=1,
    most=1,
    completes=("images",),
)


def run(call: Call) -> int:
    pull_image(call, call.arguments[0], 1)
    call.line(call.arguments[0])
    return 0
