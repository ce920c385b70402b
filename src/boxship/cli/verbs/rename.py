"""boxship rename: give a container another name."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.flags import Command, UsageError

COMMAND = Command("CONTAINER NEW_NAME", least=2, most=2, completes=("containers", "none"))


def run(call: Call) -> int:
    old, new = (name.strip() for name in call.arguments)
    if not old or not new:
        raise UsageError("neither old nor new names may be empty", 1)
    call.daemon.post(f"/containers/{escape(old)}/rename", {"name": new})
    return 0
