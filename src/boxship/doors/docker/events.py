"""The stream of events, with Docker's filters and both its shapes."""

from collections.abc import AsyncIterator
from typing import Any

from boxship.doors.docker.call import Call, Version
from boxship.doors.docker.errors import JSON
from boxship.doors.docker.filters import Filters, moment_or_age, parse_filters
from boxship.doors.docker.router import Route
from boxship.engine.clock import SystemClock
from boxship.engine.model import Event
from boxship.errors import Invalid
from boxship.transport.exchange import Reply
from boxship.wire.ndjson import line

FILTERS = (
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
)
NAMED_KINDS = ("config", "daemon", "image", "network", "node", "plugin", "secret", "service", "volume")
SECOND = 1_000_000_000  # nanoseconds
CLOCK = SystemClock()


async def events(call: Call) -> Reply:
    filters = parse_filters(call.text("filters"), FILTERS)
    since, until = (moment_or_age(call.text(name), CLOCK) if call.text(name) else 0 for name in ("since", "until"))
    if since and until and since > until:
        raise Invalid(f"`since` time ({call.text('since')}) cannot be after `until` time ({call.text('until')})")
    source = call.engine.events.subscribe(since=since, until=until)
    return Reply(200, JSON, lines(source, filters, call.version))


async def lines(source: AsyncIterator[Event], filters: Filters, version: Version) -> AsyncIterator[bytes]:
    try:
        async for event in source:
            if wanted(event, filters):
                yield line(event_json(event, version))
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


def wanted(event: Event, filters: Filters) -> bool:
    """Whether all filters let the event pass. "exec_start: sh" is of the event "exec_start" too."""
    action = event.action
    return (
        filters.exactly("type", event.kind)
        and filters.exactly("event", action, action.partition(":")[0])
        and filters.exactly("scope", "local")
        and filters.labels(event.attributes)
        and _concerns_container(event, filters)
        and all(_concerns(event, filters, kind) for kind in NAMED_KINDS)
    )


def _concerns_container(event: Event, filters: Filters) -> bool:
    names = filters.get("container")
    if not names:
        return True
    if event.kind != "container":
        return False
    name = event.attributes.get("name", "")
    return any(
        wanted in (event.actor, name, f"/{name}") or event.actor.startswith(wanted) for wanted in names if wanted
    )


def _concerns(event: Event, filters: Filters, kind: str) -> bool:
    names = filters.get(kind)
    if not names:
        return True
    if kind == "image" and event.kind in ("image", "container"):
        # an image's name, with or without its tag; of a container's event, the image that it was made from
        name = event.attributes.get("name" if event.kind == "image" else "image", "")
        candidates = {event.actor if event.kind == "image" else "", name, _without_tag(name), _without_tag(event.actor)}
        return any(wanted in candidates for wanted in names)
    if event.kind != kind:
        return False
    name = event.attributes.get("name", "")
    return any(wanted in (event.actor, name) or event.actor.startswith(wanted) for wanted in names if wanted)


def _without_tag(name: str) -> str:
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


def event_json(event: Event, version: Version) -> dict[str, Any]:
    """An event; containers' and images' ones carry the fields of the first API as well."""
    shown: dict[str, Any] = {}
    if event.kind in ("container", "image"):
        shown |= {"status": event.action, "id": event.actor}
        source = event.attributes.get("image", "") if event.kind == "container" else ""
        if source:
            shown["from"] = source
    return shown | {
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.actor, "Attributes": dict(event.attributes)},
        "scope": "local",
        "time": event.time // SECOND,
        "timeNano": event.time,
    }


ROUTES = (Route("GET", "/events", events, query=("since", "until", "filters")),)
