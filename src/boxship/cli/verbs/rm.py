"""boxship rm: remove containers."""

from boxship.cli.call import Call
from boxship.cli.daemon import DaemonError
from boxship.cli.escape import path_of
from boxship.cli.flags import Command, Flag
from boxship.cli.targets import for_each

COMMAND = Command(
    "CONTAINER [CONTAINER...]",
    (
        Flag("-f, --force", "Force the removal of a running container (uses SIGKILL)"),
        Flag("-l, --link", "Remove the specified link"),
        Flag("-v, --volumes", "Remove anonymous volumes associated with the container"),
    ),
    least=1,
    most=None,
    completes=("containers",),
)


def run(call: Call) -> int:
    options = call.options
    force = options.on("force")
    query = {"v": options.on("volumes") or None, "link": options.on("link") or None, "force": force or None}

    def remove(name: str) -> None:
        try:
            call.daemon.delete(f"/containers/{path_of(name.strip('/'))}", query)
        except DaemonError as error:
            # As Docker: --force makes a missing container a remark, not a failure.
            if not (force and error.status == 404):
                raise
            call.warn(f"boxship: {error}")

    return for_each(call, call.arguments, remove)
