"""boxship builder du: the build cache, record by record."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.flags import Command, Flag
from boxship.cli.table import Column, Listing, is_template
from boxship.cli.text import ellipsis, visible
from boxship.cli.times import MISSING, ago, is_missing, parse_time
from boxship.spec.duration import SECOND
from boxship.spec.quantity import format_decimal_bytes

COMMAND = Command(
    flags=(
        Flag("--format string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("-v, --verbose", "Show whole ids and descriptions"),
    ),
)
ID_CHARACTERS = 20
DESCRIPTION_CHARACTERS = 60


def run(call: Call) -> int:
    form = call.options.text("format")
    records = (call.daemon.get("/system/df", {"type": "build-cache"}) or {}).get("BuildCache") or []
    records.sort(key=lambda record: record.get("Size") or 0, reverse=True)
    call.write(listing(call.options.on("verbose")).render(records, form))
    if not is_template(form) and form != "json":
        call.write("\n" + totals(records))
    return 0


def totals(records: list[Object]) -> str:
    """Sums of sizes. What is shared belongs to images too: pruning it here frees nothing while they are there."""
    sums = {
        "Shared": sum(record.get("Size") or 0 for record in records if record.get("Shared")),
        "Private": sum(record.get("Size") or 0 for record in records if not record.get("Shared")),
        "Reclaimable": sum(record.get("Size") or 0 for record in records if not record.get("InUse")),
        "Total": sum(record.get("Size") or 0 for record in records),
    }
    return "".join(f"{name + ':':<13}{format_decimal_bytes(size)}\n" for name, size in sums.items())


def listing(whole: bool) -> Listing:
    """The columns; `whole` cuts nothing."""

    def cut(text: str, characters: int) -> str:
        return text if whole else ellipsis(text, characters)

    columns = (
        Column("ID", "ID", lambda record: cut(record["ID"], ID_CHARACTERS)),
        Column("Type", "TYPE", lambda record: record.get("Type") or ""),
        Column("Reclaimable", "RECLAIMABLE", lambda record: str(not record.get("InUse")).lower()),
        Column("Shared", "SHARED", lambda record: str(bool(record.get("Shared"))).lower()),
        Column("Size", "SIZE", lambda record: format_decimal_bytes(record.get("Size") or 0, 3)),
        Column("LastUsed", "LAST USED", last_used),
        Column("Uses", "USES", lambda record: str(record.get("UsageCount") or 0)),
        Column(
            "Description",
            "DESCRIPTION",
            lambda record: cut(visible(record.get("Description") or "").replace("\n", " "), DESCRIPTION_CHARACTERS),
        ),
    )
    return Listing(columns, ("ID", "Type", "Reclaimable", "Shared", "Size", "LastUsed", "Uses", "Description"))


def last_used(record: Object) -> str:
    text = record.get("LastUsedAt") or MISSING
    return "" if is_missing(text) else ago(parse_time(text) / SECOND)
