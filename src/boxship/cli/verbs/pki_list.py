"""boxship pki list: the authority's certificates and all that it issued."""

from boxship.cli.authority import DIRECTORY, FORMAT, print_list
from boxship.cli.call import Call
from boxship.cli.flags import Command

COMMAND = Command(flags=(DIRECTORY, FORMAT))


def run(call: Call) -> int:
    return print_list(call)
