"""The project's containers as the daemon lists them, for the verbs that show something."""

from __future__ import annotations

import json
from collections.abc import Iterable

from boxship.cli.call import Failure
from boxship.cli.composing.observing import first_name
from boxship.cli.composing.opening import Opening
from boxship.cli.daemon import Object
from boxship.compose.model import Project
from boxship.compose.planning.observed import LABEL_NUMBER, LABEL_ONE_OFF, LABEL_PROJECT, LABEL_SERVICE
from boxship.compose.planning.selecting import named


def labels_of(item: Object) -> dict[str, str]:
    found: dict[str, str] = item.get("Labels") or {}
    return found


def service_of(item: Object) -> str:
    return labels_of(item).get(LABEL_SERVICE, "")


def number_of(item: Object) -> int:
    text = labels_of(item).get(LABEL_NUMBER, "")
    return int(text) if text.isdigit() else 0


def is_one_off(item: Object) -> bool:
    return labels_of(item).get(LABEL_ONE_OFF) == "True"


def containers(
    opening: Opening,
    project: Project,
    services: Iterable[str] = (),
    *,
    stopped: bool = True,
    one_off: bool = False,
    size: bool = False,
) -> list[Object]:
    """Entries of GET /containers/json, sorted by name. Raises Invalid for a service that is not in the file."""
    wanted = set(named(project, services)) if tuple(services) else set()
    filters = json.dumps({"label": [f"{LABEL_PROJECT}={project.name}"]})
    query = {"all": stopped or None, "filters": filters, "size": size or None}
    found = opening.host.reach.daemon.get("/containers/json", query)
    chosen = [
        item for item in found if (not wanted or service_of(item) in wanted) and (one_off or not is_one_off(item))
    ]
    return sorted(chosen, key=lambda item: (service_of(item), number_of(item), first_name(item)))


def one_container(opening: Opening, project: Project, service: str, index: int, *, running: bool = True) -> Object:
    """The container of a service with this number; the first where the number is 0. Raises Failure."""
    found = containers(opening, project, (service,), stopped=not running)
    if index:
        found = [item for item in found if number_of(item) == index]
    if not found:
        which = f" index {index}" if index else ""
        raise Failure(f'service "{service}" is not running{which}' if running else f"no container for {service}{which}")
    return found[0]
