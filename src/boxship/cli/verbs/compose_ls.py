"""boxship compose ls: the projects that have containers."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, FORMAT
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "",
    (
        Flag("-a, --all", "Show all stopped Compose projects"),
        DRY_RUN,
        Flag("--filter list", "Filter output based on conditions provided (name=PATTERN)"),
        FORMAT,
        Flag("-q, --quiet", "Only display project names"),
    ),
)


def run(call: Call) -> int:
    from boxship.cli.composing.settings import read_settings
    from boxship.cli.composing.tables import check_format, json_text, project_rows
    from boxship.cli.table import align

    read_settings(call)
    form = check_format(call)
    rows = project_rows(call)
    if call.options.on("quiet"):
        call.write("".join(f"{row['Name']}\n" for row in rows))
    elif form == "json":
        call.write(json_text(rows))
    else:
        lines = [[row["Name"], row["Status"], row["ConfigFiles"]] for row in rows]
        call.write(align([["NAME", "STATUS", "CONFIG FILES"], *lines]))
    return 0
