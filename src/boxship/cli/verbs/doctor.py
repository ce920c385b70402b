"""`boxship doctor`: checks this machine, says what is missing and how to get it. Changes nothing, asks no daemon."""

import sys

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag
from boxship.cli.table import Column, Listing

COMMAND = Command(
    "",
    (
        Flag("--data-root string", "Where the daemon's data lies or will lie", "/var/lib/boxship", completes="files"),
        Flag("--format string", 'Print as "table", "json" or by a template'),
    ),
    details="Exit code 1 where something that containers need is missing; 0 with warnings alone.",
)
COLUMNS = Listing(
    (
        Column("Name", "CHECK", lambda finding: finding.name),
        Column("State", "STATE", lambda finding: finding.state),
        Column("Text", "FOUND", lambda finding: finding.text),
        Column("Remedy", "REMEDY", lambda finding: finding.remedy),
    ),
    ("Name", "State", "Text"),
)
COLORS = {"good": "\x1b[32m", "warning": "\x1b[33m", "missing": "\x1b[31m"}


def run(call: Call) -> int:
    from boxship.cli.examination import examine
    from boxship.cli.examination.machine import MISSING, Machine

    findings = examine(Machine(call.options.text("data-root")))
    form = call.options.text("format")
    text = COLUMNS.render(findings, form)
    if form in ("", "table") and sys.stdout.isatty():
        for state, color in COLORS.items():
            text = text.replace(f" {state} ", f" {color}{state}\x1b[0m ")
    call.write(text)
    remedies = [finding for finding in findings if finding.remedy and finding.state != "good"]
    if remedies and form in ("", "table"):
        call.line("\nWhat to do:")
        for finding in remedies:
            call.line(f"  {finding.name}: {finding.remedy}")
    return 1 if any(finding.state == MISSING for finding in findings) else 0
