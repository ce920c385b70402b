"""boxship rmi: remove images or their names."""

from boxship.cli.call import Call
from boxship.cli.daemon import DaemonError
from boxship.cli.escape import path_of
from boxship.cli.flags import Command, Flag
from boxship.cli.targets import for_each

COMMAND = Command(
    "IMAGE [IMAGE...]",
    (
        Flag("-f, --force", "Force removal of the image"),
        Flag("--no-prune", "Do not delete untagged parents"),
        Flag("--platform string", "Remove only the given platform variant"),
    ),
    least=1,
    most=None,
    completes=("images",),
)


def run(call: Call) -> int:
    options = call.options
    force = options.on("force")
    query = {
        "force": force or None,
        "noprune": options.on("no-prune") or None,
        "platforms": options.text("platform") or None,
    }

    def remove(name: str) -> None:
        try:
            deleted = call.daemon.delete(f"/images/{path_of(name)}", query)
        except DaemonError as error:
            if not (force and error.status == 404):
                raise
            call.warn(f"boxship: {error}")
            return
        for entry in deleted or []:
            call.line(f"Deleted: {entry['Deleted']}" if entry.get("Deleted") else f"Untagged: {entry.get('Untagged')}")

    return for_each(call, call.arguments, remove, silent=True)
