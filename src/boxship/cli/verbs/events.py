"""boxship events: what happens in the daemon, as it happens."""

from __future__ import annotations

import json
import sys

from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.filters import filters_of
from boxship.cli.flags import Command, Flag
from boxship.cli.times import rfc3339_nano, timestamp

COMMAND = Command(
    flags=(
        Flag("-f, --filter list", "Filter output based on conditions provided"),
        Flag("--format string", "Format output: 'json' or a Go template"),
        Flag("--since string", "Show all events created since timestamp"),
        Flag("--until string", "Stream events until this timestamp"),
    ),
)


def run(call: Call) -> int:
    options = call.options
    query = {
        "since": timestamp(options.text("since")) if options.text("since") else None,
        "until": timestamp(options.text("until")) if options.text("until") else None,
        "filters": filters_of(options.texts("filter")),
    }
    form = options.text("format")
    template = None
    if form and form != "json":
        from boxship.cli.table import unescape
        from boxship.cli.template import Template

        template = Template(unescape(form))
    for event in call.daemon.stream("/events", query):
        if form == "json":
            call.line(json.dumps(event, separators=(",", ":"), ensure_ascii=False))
        else:
            call.line(template.apply(_named(event)) if template else event_text(event))
        sys.stdout.flush()
    return 0


def event_text(event: Object) -> str:
    """One event as a line: time, kind, action, id, and its attributes sorted."""
    moment = event.get("timeNano") or event.get("time", 0) * 1_000_000_000
    actor = event.get("Actor") or {}
    text = f"{rfc3339_nano(moment)} {event.get('Type')} {event.get('Action')} {actor.get('ID', '')}"
    attributes = ", ".join(f"{name}={value}" for name, value in sorted((actor.get("Attributes") or {}).items()))
    return f"{text} ({attributes})" if attributes else text


def _named(event: Object) -> Object:
    """The event with the field names that templates use beside those of the wire."""
    names = {"Status": "status", "ID": "id", "From": "from", "Scope": "scope", "Time": "time", "TimeNano": "timeNano"}
    return {**event, **{name: event.get(wire, "") for name, wire in names.items()}}
