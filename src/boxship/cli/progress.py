"""Progress of long work as the daemon tells it, a line of JSON for each piece of news.

On a terminal every layer has a line that is written over; elsewhere each change of state is one plain line. An error in
the stream ends it with that error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable

from boxship.cli.call import Failure
from boxship.cli.daemon import Object
from boxship.cli.terminal import is_terminal, terminal_size
from boxship.cli.text import visible


def show_progress(
    lines: Iterable[bytes], descriptor: int = 1, *, quiet: bool = False, on_aux: Callable[[Object], None] | None = None
) -> None:
    """Write the news to the descriptor. Raises Failure for an error in the stream."""
    sys.stdout.flush()  # the descriptor is written to directly
    live = is_terminal(descriptor)
    rows: dict[str, int] = {}
    states: dict[str, str] = {}
    for line in lines:
        try:
            news = json.loads(line)
        except ValueError:
            raise Failure(f"cannot read the daemon's progress: {line[:80]!r}") from None
        if news.get("error") or news.get("errorDetail"):
            raise Failure((news.get("errorDetail") or {}).get("message") or news.get("error") or "")
        if "aux" in news and on_aux:
            on_aux(news["aux"])
        if quiet:
            continue
        if "stream" in news:
            _write(descriptor, visible(news["stream"]))
            continue
        identifier, status = news.get("id") or "", visible(news.get("status") or "")
        if not status:
            continue
        if live:
            _write_over(descriptor, identifier, f"{status} {news.get('progress') or ''}".rstrip(), rows)
        elif states.get(identifier) != status or not identifier:
            states[identifier] = status
            _write(descriptor, f"{identifier}: {status}\n" if identifier else f"{status}\n")


def _write(descriptor: int, text: str) -> None:
    data = memoryview(text.encode())
    while data:
        data = data[os.write(descriptor, data) :]


def _write_over(descriptor: int, identifier: str, text: str, rows: dict[str, int]) -> None:
    """Each id keeps its row; the cursor stands below the last row between writes."""
    columns = terminal_size(descriptor)[1] or 80
    if not identifier:
        rows.clear()
        _write(descriptor, f"{text}\n")
        return
    whole = visible(f"{identifier}: {text}")[: columns - 1]
    if identifier not in rows:
        rows[identifier] = len(rows)
        _write(descriptor, f"{whole}\n")
        return
    up = len(rows) - rows[identifier]
    _write(descriptor, f"\x1b[{up}A\r\x1b[2K{whole}\x1b[{up}B\r")
