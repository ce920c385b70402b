"""boxship store backup: everything that a cluster's store holds, of one moment, as a file."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.cli.keeping import FLAGS

COMMAND = Command(
    "FILE",
    FLAGS,
    least=1,
    most=1,
    completes=("files",),
    details="The cluster goes on meanwhile. The file fits every kind of store. Secrets are in it as they are stored:"
    " sealed, where the cluster encrypts them, so keep its key (DATA-ROOT/encryption.key) as well.",
)


def run(call: Call) -> int:
    import os

    from boxship.cli.keeping import by_program, offline, receive_backup

    path = os.path.abspath(call.arguments[0])
    done = by_program(call, "backup", path) if offline(call) else receive_backup(call, path)
    call.line(f"{done['entries']} objects of revision {done['revision']} in {call.arguments[0]}")
    return 0
