"""boxship export: a container's filesystem as a tar archive."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.files import write_output
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "CONTAINER",
    (Flag("-o, --output string", "Write to a file, instead of STDOUT", completes="files"),),
    least=1,
    most=1,
    completes=("containers",),
)


def run(call: Call) -> int:
    response = call.daemon.request("GET", f"/containers/{escape(call.arguments[0])}/export")
    write_output(response.pieces(), call.options.text("output"), "save")
    return 0
