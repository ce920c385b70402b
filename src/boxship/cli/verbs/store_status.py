"""boxship store status: what a cluster's store holds, and how much room that takes."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.cli.keeping import FLAGS, FORMAT

COMMAND = Command("", (*FLAGS, FORMAT))


def run(call: Call) -> int:
    from boxship.cli.keeping import by_program, by_server, offline, told

    told(call, by_program(call, "status") if offline(call) else by_server(call, "GET", "status"))
    return 0
