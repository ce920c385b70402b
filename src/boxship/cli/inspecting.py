"""Inspecting by name: every object as JSON in one list, or each by a template. Missing ones are told at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from boxship.cli.call import Call
from boxship.cli.daemon import DaemonError, Json
from boxship.cli.flags import Flag
from boxship.errors import BoxshipError

FORMAT_FLAG = Flag("-f, --format string", "Format output: 'json' or a Go template")


def inspect_each(call: Call, names: Sequence[str], fetch: Callable[[str], Json]) -> int:
    """Print what `fetch` gives for each name. 1 if any was missing."""
    form = call.options.text("format")
    found, errors = [], []
    for name in names:
        try:
            found.append(fetch(name))
        except BoxshipError as error:
            errors.append(str(error))
    if form == "json":
        call.line(json.dumps(found, separators=(",", ":"), ensure_ascii=False))
    elif form:
        from boxship.cli.table import unescape
        from boxship.cli.template import Template

        template = Template(unescape(form))
        for thing in found:
            call.line(template.apply(thing))
    else:
        call.write(json.dumps(found, indent=4, ensure_ascii=False) + "\n")
    for message in errors:
        call.warn(f"boxship: {message}")
    return int(bool(errors))


def first_of(name: str, fetchers: Sequence[Callable[[str], Json]]) -> Json:
    """The first kind of thing that has the name. Raises DaemonError if none does."""
    for fetch in fetchers:
        try:
            return fetch(name)
        except DaemonError as error:
            if error.status not in (400, 404):
                raise
    raise DaemonError(404, f"No such object: {name}")
