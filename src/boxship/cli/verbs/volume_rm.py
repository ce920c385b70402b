"""boxship volume rm: remove volumes."""

from boxship.cli.call import Call
from boxship.cli.daemon import DaemonError
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag
from boxship.cli.targets import for_each

COMMAND = Command(
    "VOLUME [VOLUME...]",
    (Flag("-f, --force", "Do not fail when a volume does not exist"),),
    least=1,
    most=None,
    completes=("volumes",),
)


def run(call: Call) -> int:
    force = call.options.on("force")

    def remove(name: str) -> None:
        try:
            call.daemon.delete(f"/volumes/{escape(name)}", {"force": force or None})
        except DaemonError as error:
            if not (force and error.status == 404):
                raise

    return for_each(call, call.arguments, remove)
