"""boxship volume inspect: everything about volumes."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.flags import Command
from boxship.cli.inspecting import FORMAT_FLAG, inspect_each

COMMAND = Command("VOLUME [VOLUME...]", (FORMAT_FLAG,), least=1, most=None, completes=("volumes",))


def run(call: Call) -> int:
    return inspect_each(call, call.arguments, lambda name: call.daemon.get(f"/volumes/{escape(name)}"))
