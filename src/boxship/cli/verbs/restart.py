"""boxship restart: stop containers and start them again."""

from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.cli.verbs.stop import STOP_FLAGS, stop_each

COMMAND = Command("CONTAINER [CONTAINER...]", STOP_FLAGS, least=1, most=None, completes=("containers",))


def run(call: Call) -> int:
    return stop_each(call, "restart")
