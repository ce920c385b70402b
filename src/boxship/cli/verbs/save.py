"""boxship save: images as one tar archive."""

from boxship.cli.call import Call
from boxship.cli.files import write_output
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "IMAGE [IMAGE...]",
    (
        Flag("-o, --output string", "Write to a file, instead of STDOUT", completes="files"),
        Flag("--platform string", "Save only the given platform variant"),
    ),
    least=1,
    most=None,
    completes=("images",),
)


def run(call: Call) -> int:
    query = {"names": list(call.arguments), "platform": call.options.text("platform") or None}
    response = call.daemon.request("GET", "/images/get", query)
    write_output(response.pieces(), call.options.text("output"), "save")
    return 0
