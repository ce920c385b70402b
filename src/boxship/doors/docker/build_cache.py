"""The build cache: its records in `GET /system/df`, `POST /build/prune`, and the cache volumes of RUN steps."""

from typing import Any

from boxship.builder.model import CacheRecord
from boxship.doors.docker.call import Call, reply, rfc3339
from boxship.doors.docker.filters import parse_filters
from boxship.doors.docker.router import Route
from boxship.engine.clock import SystemClock
from boxship.errors import Invalid
from boxship.transport.exchange import Reply

CLOCK = SystemClock()
FILTERS = ("description", "id", "inuse", "parent", "private", "shared", "type", "until", "unused-for")
CACHE_VOLUME = "exec.cachemount"


async def records_json(call: Call) -> list[dict[str, Any]]:
    """The records as `GET /system/df` shows them."""
    return [record_json(record) for record in await call.builds.builder.cache_records()]


def record_json(record: CacheRecord) -> dict[str, Any]:
    return {
        "ID": record.id,
        "Parents": list(record.parents) or None,
        "Type": record.kind,
        "Description": record.description,
        "InUse": record.in_use,
        "Shared": record.shared,
        "Size": record.size,
        "CreatedAt": rfc3339(record.created),
        "LastUsedAt": rfc3339(record.used) if record.used else None,
        "UsageCount": record.uses,
    }


async def prune(call: Call) -> Reply:
    """`keep-storage` is the older name of `reserved-space`."""
    filters = parse_filters(call.text("filters"), FILTERS)
    until = filters.until(CLOCK)
    ages = filters.get("unused-for")
    if ages:
        if until or len(ages) > 1:
            raise Invalid("filters unused-for and until cannot be given together, nor twice")
        until = parse_filters('{"until":["' + ages[0].replace('"', "") + '"]}', ("until",)).until(CLOCK)
    kept = call.number("reserved-space", call.number("keep-storage", 0)) or 0
    if kept < 0:
        raise Invalid(f"invalid value for query parameter reserved-space: {kept} is negative")
    chosen = {name: filters.get(name) for name in FILTERS if name not in ("until", "unused-for") and name in filters}
    if not call.can_build:  # `docker system prune` asks all the same
        return reply({"CachesDeleted": None, "SpaceReclaimed": 0})
    identifiers, freed = await call.builds.builder.prune(
        everything=call.flag("all"), keep_bytes=kept, until_ns=until, filters=chosen
    )
    return reply({"CachesDeleted": list(identifiers) or None, "SpaceReclaimed": freed})


async def volumes(call: Call) -> Reply:
    """The cache volumes alone."""
    records = await call.builds.builder.cache_records()
    return reply([record_json(record) for record in records if record.kind == CACHE_VOLUME])


async def remove_volume(call: Call) -> Reply:
    freed = await call.builds.builder.remove_cache_volume(call.id)
    return reply({"SpaceReclaimed": freed})


ROUTES = (
    Route(
        "POST",
        "/build/prune",
        prune,
        query=("filters", "all", "keep-storage", "reserved-space"),
        refused=("max-used-space", "min-free-space"),
    ),
    Route("GET", "/boxship/build/caches", volumes),
    Route("DELETE", "/boxship/build/caches/{id*}", remove_volume),
)
