"""`--filter name=value` for the API."""

from __future__ import annotations

import json
from collections.abc import Sequence

from boxship.cli.flags import UsageError


def collect(words: Sequence[str]) -> dict[str, dict[str, bool]]:
    """Filters by name, each with its values."""
    found: dict[str, dict[str, bool]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise UsageError(f'invalid argument "{word}" for "-f, --filter" flag: it must be name=value')
        found.setdefault(name.strip().lower(), {})[value.strip()] = True
    return found


def encode_filters(filters: dict[str, dict[str, bool]]) -> str | None:
    """The query's text; None for no filters."""
    return json.dumps(filters, separators=(",", ":")) if filters else None


def filters_of(words: Sequence[str]) -> str | None:
    """The query's text for the words of `--filter`."""
    return encode_filters(collect(words))
