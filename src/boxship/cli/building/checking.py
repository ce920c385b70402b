"""Findings of `--check` as a table."""

from __future__ import annotations

from boxship.cli.daemon import Object
from boxship.cli.table import Column, Listing
from boxship.cli.text import visible


def findings_table(findings: list[Object], form: str = "") -> str:
    """The findings in the order of their lines."""
    columns = (
        Column("Place", "PLACE", lambda item: f"{item['location']['file']}:{item['location']['first']}"),
        Column("Rule", "RULE", lambda item: item.get("rule") or "warning"),
        Column("Message", "FINDING", lambda item: visible(item.get("message") or "").replace("\n", " ")),
        Column("URL", "URL", lambda item: item.get("url") or ""),
    )
    ordered = sorted(findings, key=lambda item: (item["location"]["file"], item["location"]["first"]))
    return Listing(columns, ("Place", "Rule", "Message")).render(ordered, form)
