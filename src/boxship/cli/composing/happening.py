"""One event of a container, as `docker compose events` tells it: without the labels that every container has."""

from __future__ import annotations

from boxship.cli.daemon import Object
from boxship.cli.text import visible
from boxship.cli.times import rfc3339_nano
from boxship.compose.planning.observed import LABEL_SERVICE

OWN = ("com.docker.compose.", "boxship.")


def _attributes(event: Object) -> dict[str, str]:
    found = (event.get("Actor") or {}).get("Attributes") or {}
    return {name: value for name, value in found.items() if not name.startswith(OWN)}


def _moment(event: Object) -> int:
    return int(event.get("timeNano") or int(event.get("time") or 0) * 1_000_000_000)


def event_fields(event: Object) -> Object:
    actor = event.get("Actor") or {}
    return {
        "time": rfc3339_nano(_moment(event)),
        "type": "container",
        "service": (actor.get("Attributes") or {}).get(LABEL_SERVICE, ""),
        "id": actor.get("ID", ""),
        "action": event.get("Action", ""),
        "attributes": _attributes(event),
    }


def event_line(event: Object) -> str:
    fields = event_fields(event)
    moment = fields["time"].replace("T", " ")[:26]
    attributes = ", ".join(f"{name}={value}" for name, value in sorted(fields["attributes"].items()))
    return visible(f"{moment} container {fields['action']} {fields['id']} ({attributes})").replace("\n", " ")
