"""boxship logout: no credentials are kept yet, so there is nothing to forget."""

from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.errors import Unsupported

COMMAND = Command("[SERVER]", most=1)


def run(call: Call) -> int:
    raise Unsupported("unsupported: logout: no credentials are kept")
