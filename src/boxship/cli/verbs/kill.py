"""boxship kill: send a signal to containers' first process."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag
from boxship.cli.targets import for_each

COMMAND = Command(
    "CONTAINER [CONTAINER...]",
    (Flag("-s, --signal string", "Signal to send to the container", "KILL", completes="signals"),),
    least=1,
    most=None,
    completes=("running",),
)


def run(call: Call) -> int:
    query = {"signal": call.options.text("signal")}
    return for_each(call, call.arguments, lambda name: call.daemon.post(f"/containers/{escape(name)}/kill", query))
