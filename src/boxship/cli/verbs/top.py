"""boxship top: the processes of a container, by ps."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.flags import Command
from boxship.cli.table import align

COMMAND = Command("CONTAINER [ps OPTIONS]", least=1, most=None, interspersed=False, completes=("running", "none"))
LEAST_WIDTH = 20  # characters of a column, as Docker's


def run(call: Call) -> int:
    name, *words = call.arguments
    answer = call.daemon.get(f"/containers/{escape(name)}/top", {"ps_args": " ".join(words) or None})
    call.write(align([answer["Titles"], *(answer["Processes"] or [])], LEAST_WIDTH))
    return 0
