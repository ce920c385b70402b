"""boxship network rm: remove networks."""

from boxship.cli.call import Call
from boxship.cli.daemon import DaemonError
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag
from boxship.cli.targets import for_each

COMMAND = Command(
    "NETWORK [NETWORK...]",
    (Flag("-f, --force", "Do not fail when a network does not exist"),),
    least=1,
    most=None,
    completes=("networks",),
)


def run(call: Call) -> int:
    force = call.options.on("force")

    def remove(name: str) -> None:
        try:
            call.daemon.delete(f"/networks/{escape(name)}")
        except DaemonError as error:
            if not (force and error.status == 404):
                raise

    return for_each(call, call.arguments, remove)
