"""boxship history: the steps that an image was made by."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.escape import path_of
from boxship.cli.flags import Command, Flag
from boxship.cli.table import Column, Listing, is_template
from boxship.cli.text import ellipsis, short_id
from boxship.cli.times import ago, rfc3339
from boxship.spec.quantity import format_decimal_bytes

COMMAND = Command(
    "IMAGE",
    (
        Flag("--format string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("-H, --human", "Print sizes and dates in human readable format", True),
        Flag("--no-trunc", "Don't truncate output"),
        Flag("--platform string", "Show history for the given platform"),
        Flag("-q, --quiet", "Only show image ids"),
    ),
    least=1,
    most=1,
    completes=("images",),
)


def run(call: Call) -> int:
    options = call.options
    whole, human, form = options.on("no-trunc"), options.on("human"), options.text("format")
    query = {"platform": options.text("platform") or None}
    steps = call.daemon.get(f"/images/{path_of(call.arguments[0])}/history", query) or []

    def identifier(step: dict[str, str]) -> str:
        return step["Id"] if whole else short_id(step["Id"])

    if options.on("quiet") and not is_template(form):
        call.write("".join(f"{identifier(step)}\n" for step in steps))
        return 0
    created = Column("CreatedAt", "CREATED AT", lambda s: rfc3339(s["Created"]))
    columns = (
        Column("ID", "IMAGE", identifier),
        Column("CreatedSince", "CREATED", _since) if human else Column("CreatedSince", created.header, created.value),
        created,
        Column("CreatedBy", "CREATED BY", lambda s: _command(s["CreatedBy"], whole)),
        Column("Size", "SIZE", lambda s: format_decimal_bytes(s["Size"], 3) if human else str(s["Size"])),
        Column("Comment", "COMMENT", lambda s: s.get("Comment") or ""),
    )
    listing = Listing(columns, ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"))
    call.write(listing.render(steps, form))
    return 0


def _since(step: dict[str, int]) -> str:
    """Steps of reproducible images have no time of their own: the first second says nothing."""
    return ago(step["Created"]) if step["Created"] > 0 else "N/A"


def _command(text: str, whole: bool) -> str:
    text = text.replace("\t", " ")
    return text if whole else ellipsis(text, 45)
