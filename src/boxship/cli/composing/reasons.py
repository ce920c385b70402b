"""What `why` is told to reason about: records of the containers, what happened lately, and who holds which port."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from boxship.cli.composing.following import read_lines
from boxship.cli.composing.host import HttpHost
from boxship.cli.composing.observing import first_name
from boxship.cli.composing.opening import Opening
from boxship.cli.text import visible
from boxship.compose.model import Project
from boxship.compose.planning.why import why
from boxship.errors import BoxshipError, NotFound

RECENT_SECONDS = 3600
LAST_LINES = 3
ENDED = ("exited", "restarting")


def told(opening: Opening, project: Project, names: list[str]) -> list[str]:
    """Sentences about each of the services."""
    host = opening.host
    observed = opening.observe(project)
    records: dict[str, Mapping[str, Any]] = {}
    for seen in observed.containers:
        try:
            records[seen.id] = host.inspect(seen.id)
        except NotFound:
            continue  # it was removed meanwhile
    now = time.time()
    events = tuple(host.listen(project.name, since=f"{now - RECENT_SECONDS:.0f}", until=f"{now:.9f}"))
    holders = port_holders(host.reach.daemon.get("/containers/json"))
    words = {seen.id: last_words(host, seen.id) for seen in observed.containers if seen.state in ENDED}
    lines: list[str] = []
    for name in names:
        lines += why(project, observed, records, name, events=events, holders=holders, words=words)
    return [visible(line) for line in lines]


def last_words(host: HttpHost, container: str) -> tuple[str, ...]:
    """The last lines of its log; none where it keeps none, or is gone."""
    try:
        lines = list(read_lines(host, container, 0, tail=str(LAST_LINES)))
    except BoxshipError:
        return ()
    return tuple(text.decode("utf-8", "replace") for _, text, _ in lines)[-LAST_LINES:]


def port_holders(containers: list[dict[str, Any]]) -> dict[str, str]:
    """ "8080/tcp" → the container that has it published."""
    return {
        f"{port['PublicPort']}/{port.get('Type') or 'tcp'}": f"container {first_name(item)}"
        for item in containers
        for port in item.get("Ports") or []
        if port.get("PublicPort")
    }
