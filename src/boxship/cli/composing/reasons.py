"""What `why` is told to reason about: records of the containers, what happened lately, and who holds which port."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from boxship.cli.composing.observing import first_name
from boxship.cli.composing.opening import Opening
from boxship.cli.text import visible
from boxship.compose.model import Project
from boxship.compose.planning.why import why
from boxship.errors import NotFound

RECENT_SECONDS = 3600


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
    lines: list[str] = []
    for name in names:
        lines += why(project, observed, records, name, events=events, holders=holders)
    return [visible(line) for line in lines]


def port_holders(containers: list[dict[str, Any]]) -> dict[str, str]:
    """ "8080/tcp" → the container that has it published."""
    return {
        f"{port['PublicPort']}/{port.get('Type') or 'tcp'}": f"container {first_name(item)}"
        for item in containers
        for port in item.get("Ports") or []
        if port.get("PublicPort")
    }
