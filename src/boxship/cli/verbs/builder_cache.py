"""boxship builder cache: the named volumes of `RUN --mount=type=cache`."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag, UsageError
from boxship.cli.targets import for_each
from boxship.cli.verbs.builder_du import listing

COMMAND = Command(
    "ls | rm ID [ID...]",
    (
        Flag("--format string", "Format output of ls: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("-q, --quiet", "Only display ids"),
    ),
    least=1,
    most=None,
)


def run(call: Call) -> int:
    what, *identifiers = call.arguments
    if what == "ls" and not identifiers:
        return _list(call)
    if what == "rm" and identifiers:
        return _remove(call, identifiers)
    raise UsageError(f"'boxship {call.name}' takes ls, or rm with the ids of cache volumes", 1)


def _list(call: Call) -> int:
    records = call.daemon.get("/boxship/build/caches") or []
    if call.options.on("quiet"):
        call.write("".join(f"{record['ID']}\n" for record in records))
        return 0
    columns = listing(True)
    columns.default = ("ID", "Size", "LastUsed", "Uses", "Description")
    call.write(columns.render(records, call.options.text("format")))
    return 0


def _remove(call: Call, identifiers: list[str]) -> int:
    return for_each(call, identifiers, lambda one: call.daemon.delete(f"/boxship/build/caches/{escape(one)}"))
