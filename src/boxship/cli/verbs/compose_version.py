"""boxship compose version: which one this is."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "",
    (
        DRY_RUN,
        Flag("-f, --format string", "Format the output: 'pretty' or 'json'", "pretty"),
        Flag("--short", "Shows only the version number"),
    ),
)


def run(call: Call) -> int:
    from boxship import __version__

    form = call.options.text("format")
    if form not in ("pretty", "json", ""):
        raise Failure(f"invalid --format {form!r}: it must be pretty or json")
    if call.options.on("short"):
        call.line(__version__)
    elif form == "json":
        call.line(f'{{"version":"v{__version__}"}}')
    else:
        call.line(f"Boxship Compose version v{__version__}")
    return 0
