"""boxship wait: wait for containers to stop, print their exit codes."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.flags import Command
from boxship.cli.targets import for_each
from boxship.cli.waiting import Wait

COMMAND = Command("CONTAINER [CONTAINER...]", least=1, most=None, completes=("running",))


def run(call: Call) -> int:
    def wait(name: str) -> None:
        call.line(str(Wait(call.daemon, escape(name), "").exit_code()))

    return for_each(call, call.arguments, wait, silent=True)
