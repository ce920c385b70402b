"""boxship system check: is everything there that should be, and is it what it was?"""

from __future__ import annotations

import json
import sys

from boxship.cli.call import Call, Failure
from boxship.cli.daemon import Object
from boxship.cli.flags import Command, Flag
from boxship.cli.terminal import is_terminal
from boxship.spec.quantity import format_decimal_bytes

COMMAND = Command(
    flags=(
        Flag("-q, --quiet", "Show findings alone, no progress"),
        Flag("--rate bytes", "Read at most this many bytes a second (0: no bound; by default 200m)"),
        Flag("--repair", "Put damaged blobs aside, unpack layers again, remove what nobody needs"),
    ),
)


def run(call: Call) -> int:
    """0 where nothing is wrong, 1 where something is, also after a repair."""
    options = call.options
    query: dict[str, str | int | bool | None] = {"repair": options.on("repair") or None}
    if options.given("rate"):
        query["rate"] = options.number("rate")
    response = call.daemon.request("POST", "/boxship/system/check", query, own_connection=True)
    shows = is_terminal(2) and not options.on("quiet")
    last: Object = {}
    for text in response.lines():
        last = event = json.loads(text)
        if "Progress" in event and shows:
            sys.stderr.write(f"\r\x1b[K{_progress(event['Progress'])}")
        elif "Finding" in event:
            if shows:
                sys.stderr.write("\r\x1b[K")
            call.write(_finding(event["Finding"]))
    if shows:
        sys.stderr.write("\r\x1b[K")
    if "Findings" not in last:
        raise Failure(str(last.get("Error") or "the daemon ended the check before its end"))
    count, repaired = int(last["Findings"]), int(last["Repaired"])
    if not count:
        call.line("Everything is as it should be.")
        return 0
    call.line(f"{count} finding{'s' if count > 1 else ''}, {repaired} repaired.")
    return 1


def _progress(progress: Object) -> str:
    done, total = int(progress["Done"]), int(progress["Total"])
    if progress["Part"] == "blobs":
        return f"blobs: {format_decimal_bytes(done)} of {format_decimal_bytes(total)}"
    return f"{progress['Part']}: {done} of {total}"


def _finding(found: Object) -> str:
    lines = [f"{found['What']}: {found['Problem']}"]
    if found["UsedBy"]:
        lines.append(f"  needed by: {', '.join(found['UsedBy'])}")
    if found["Repaired"]:
        lines.append(f"  repaired: {found['Repaired']}")
    if found["Advice"]:
        lines.append(f"  what to do: {found['Advice']}")
    return "\n".join(lines) + "\n"
