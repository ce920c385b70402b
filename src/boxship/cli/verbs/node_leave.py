"""boxship node leave: this machine is no node any more."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.daemon import DaemonError
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "",
    (
        Flag("-f, --force", "Say nothing where this machine is no node"),
        Flag("-q, --quiet", "Print nothing"),
    ),
    details="Its pods end, and all that the cluster put on this machine goes. To move them before: kubectl drain.",
)


def run(call: Call) -> int:
    force = call.options.on("force")
    try:
        state = call.daemon.get("/boxship/node")
        call.daemon.delete("/boxship/node")
    except DaemonError as error:
        if error.status == 404 and force:
            return 0
        raise
    if not call.options.on("quiet"):
        name = state["NodeName"]
        call.line(f"this machine is no node any more; the cluster forgets it with: kubectl delete node {name}")
    return 0
