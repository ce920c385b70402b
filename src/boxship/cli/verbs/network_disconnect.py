"""boxship network disconnect: take a container from a network."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "NETWORK CONTAINER",
    (Flag("-f, --force", "Force the container to disconnect from a network"),),
    least=2,
    most=2,
    completes=("networks", "containers"),
)


def run(call: Call) -> int:
    network, container = call.arguments
    body = {"Container": container, "Force": call.options.on("force")}
    call.daemon.post(f"/networks/{escape(network)}/disconnect", body=body)
    return 0
