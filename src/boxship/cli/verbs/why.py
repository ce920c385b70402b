"""boxship why: how a container is, and how it came to be so, in plain sentences."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.explaining import explain, now_nanoseconds
from boxship.cli.flags import Command

COMMAND = Command("CONTAINER", least=1, most=1, completes=("containers",))


def run(call: Call) -> int:
    container = call.daemon.get(f"/containers/{escape(call.arguments[0])}/json")
    call.write("".join(f"{sentence}\n" for sentence in explain(container, now_nanoseconds())))
    return 0
