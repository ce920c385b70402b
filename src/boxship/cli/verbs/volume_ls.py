"""boxship volume ls: volumes as a table."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.filters import filters_of
from boxship.cli.flags import Command, Flag
from boxship.cli.table import Column, Listing, is_template
from boxship.cli.text import labels_text, natural_key
from boxship.spec.quantity import format_decimal_bytes

COMMAND = Command(
    flags=(
        Flag("-f, --filter list", "Provide filter values (e.g. 'dangling=true')"),
        Flag("--format string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("-q, --quiet", "Only display volume names"),
    ),
)
UNKNOWN = "N/A"


def run(call: Call) -> int:
    options = call.options
    answer = call.daemon.get("/volumes", {"filters": filters_of(options.texts("filter"))})
    volumes = sorted(answer.get("Volumes") or [], key=lambda volume: natural_key(volume["Name"]))
    for warning in answer.get("Warnings") or []:
        call.warn(f"WARNING: {warning}")
    form = options.text("format")
    if options.on("quiet") and not is_template(form):
        call.write("".join(f"{volume['Name']}\n" for volume in volumes))
        return 0
    call.write(listing().render(volumes, form))
    return 0


def listing() -> Listing:
    """The columns of volumes."""
    columns = (
        Column("Availability", "AVAILABILITY", lambda v: UNKNOWN),
        Column("Driver", "DRIVER", lambda v: v["Driver"]),
        Column("Group", "GROUP", lambda v: UNKNOWN),
        Column("Labels", "LABELS", lambda v: labels_text(v.get("Labels"))),
        Column("Links", "LINKS", lambda v: _usage(v, "RefCount")),
        Column("Mountpoint", "MOUNTPOINT", lambda v: v["Mountpoint"]),
        Column("Name", "VOLUME NAME", lambda v: v["Name"]),
        Column("Scope", "SCOPE", lambda v: v.get("Scope") or ""),
        Column("Size", "SIZE", lambda v: _usage(v, "Size")),
        Column("Status", "STATUS", lambda v: UNKNOWN),
    )
    methods = {"Label": lambda v, name: (v.get("Labels") or {}).get(name, "")}
    return Listing(columns, ("Driver", "Name"), methods)


def _usage(volume: Object, field: str) -> str:
    usage = volume.get("UsageData") or {}
    value = usage.get(field, -1)
    if value < 0:
        return UNKNOWN
    return format_decimal_bytes(value) if field == "Size" else str(value)
