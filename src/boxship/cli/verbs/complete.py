"""boxship __complete: the candidates for the last word of a command line, one in a line, for the shells' scripts."""

from boxship.cli.call import Call
from boxship.cli.completing import complete
from boxship.cli.flags import Command
from boxship.cli.program import GLOBAL_FLAGS

COMMAND = Command("[WORD...]", least=0, most=None, interspersed=False)


def run(call: Call) -> int:
    call.write("".join(f"{word}\n" for word in complete(call, call.arguments, GLOBAL_FLAGS)))
    return 0
