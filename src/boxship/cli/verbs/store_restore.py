"""boxship store restore: a new store out of a backup."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command
from boxship.cli.keeping import STORE_FLAGS

COMMAND = Command(
    "FILE",
    STORE_FLAGS,
    least=1,
    most=1,
    completes=("files",),
    details="The store must be new: a SQLite file that is not there, or an etcd without keys. The file is checked to"
    " its end before anything is written. Start the cluster on it afterwards.",
)


def run(call: Call) -> int:
    import os

    from boxship.cli.keeping import by_program, offline

    if not offline(call):
        raise Failure("say where: --store sqlite:PATH or --store etcd:URL,URL…")
    done = by_program(call, "restore", os.path.abspath(call.arguments[0]))
    call.line(f"{done['entries']} objects of revision {done['revision']} in {done['store']}")
    return 0
