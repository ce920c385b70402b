"""Volumes: create, list, inspect, remove, prune."""

from typing import Any

from boxship.doors.docker.bodies import Go
from boxship.doors.docker.call import Call, no_content, reply, rfc3339
from boxship.doors.docker.filters import parse_filters
from boxship.doors.docker.router import Route
from boxship.engine.values import Volume
from boxship.transport.exchange import Reply

LIST_FILTERS = ("dangling", "driver", "label", "name")
PRUNE_FILTERS = ("all", "label", "label!")
ANONYMOUS = "com.docker.volume.anonymous"


class VolumeBody(Go):
    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None


def volume_json(volume: Volume) -> dict[str, Any]:
    return {
        "CreatedAt": rfc3339(volume.created_at // 1_000_000_000 * 1_000_000_000),
        "Driver": volume.driver,
        "Labels": dict(volume.labels) or None,
        "Mountpoint": str(volume.mountpoint),
        "Name": volume.name,
        "Options": dict(volume.options) or None,
        "Scope": "local",
    }


async def create(call: Call) -> Reply:
    body = await call.body(VolumeBody)
    volume = await call.engine.volumes.create(
        body.name or None, body.driver or "local", body.driver_opts or {}, body.labels or {}
    )
    return reply(volume_json(volume), 201)


async def listed(call: Call) -> Reply:
    filters = parse_filters(call.text("filters"), LIST_FILTERS)
    dangling = filters.flag("dangling")
    found = [
        volume
        for volume in call.engine.volumes.list()
        if filters.like("name", volume.name)
        and filters.exactly("driver", volume.driver)
        and filters.labels(volume.labels)
        and (dangling is None or dangling == (not call.engine.volumes.users(volume.name)))
    ]
    return reply({"Volumes": [volume_json(volume) for volume in found], "Warnings": None})


async def inspect(call: Call) -> Reply:
    return reply(volume_json(call.engine.volumes.get(call.id)))


async def remove(call: Call) -> Reply:
    await call.engine.volumes.remove(call.id, force=call.flag("force"))
    return no_content()


async def prune(call: Call) -> Reply:
    """Since API 1.42 anonymous volumes alone, unless `all` is asked for."""
    filters = parse_filters(call.text("filters"), PRUNE_FILTERS)
    everything = not call.since(1, 42) or bool(filters.flag("all"))

    def keep(volume: Volume) -> bool:
        return not filters.labels(volume.labels) or not (everything or ANONYMOUS in volume.labels)

    removed, freed = await call.engine.volumes.prune(keep)
    return reply({"VolumesDeleted": removed or None, "SpaceReclaimed": freed})


ROUTES = (
    Route("GET", "/volumes", listed, query=("filters",)),
    Route("POST", "/volumes/create", create),
    Route("POST", "/volumes/prune", prune, query=("filters",), minimum=(1, 25)),
    Route("GET", "/volumes/{id}", inspect),
    Route("DELETE", "/volumes/{id}", remove, query=("force",)),
)
