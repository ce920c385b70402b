"""boxship why: how a container is, and how it came to be so, in plain sentences; or, as TYPE/NAME, why a pod of the
cluster is not ready, or nowhere, and what would help."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.explaining import explain, now_nanoseconds
from boxship.cli.flags import Command
from boxship.cli.kube.config import CONFIG_FLAGS

COMMAND = Command("CONTAINER | TYPE/NAME", CONFIG_FLAGS, least=1, most=1, completes=("containers",))


def run(call: Call) -> int:
    if "/" in call.arguments[0]:
        from boxship.cli.kube.why import show_why

        return show_why(call)
    container = call.daemon.get(f"/containers/{escape(call.arguments[0])}/json")
    call.write("".join(f"{sentence}\n" for sentence in explain(container, now_nanoseconds())))
    return 0
