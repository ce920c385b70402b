"""boxship unpause: let held containers go on."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.flags import Command
from boxship.cli.targets import for_each

COMMAND = Command("CONTAINER [CONTAINER...]", least=1, most=None, completes=("running",))


def run(call: Call) -> int:
    return for_each(call, call.arguments, lambda name: call.daemon.post(f"/containers/{escape(name)}/unpause"))
