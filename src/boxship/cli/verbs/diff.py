"""boxship diff: what a container changed in its filesystem."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.flags import Command

COMMAND = Command("CONTAINER", least=1, most=1, completes=("containers",))
KINDS = "CAD"  # changed, added, deleted


def run(call: Call) -> int:
    changes = call.daemon.get(f"/containers/{escape(call.arguments[0])}/changes") or []
    call.write("".join(f"{KINDS[change['Kind']]} {change['Path']}\n" for change in changes))
    return 0
