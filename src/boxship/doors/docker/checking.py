"""Our own endpoints about the store: is it whole, and where every byte went."""

import contextlib
from collections.abc import AsyncGenerator

from boxship.doors.docker.call import Call, reply
from boxship.doors.docker.errors import JSON
from boxship.doors.docker.router import Route
from boxship.engine.inspection import RATE, Found
from boxship.errors import BoxshipError, Invalid
from boxship.transport.exchange import Reply
from boxship.wire.ndjson import line

RATE_LIMIT = 1 << 40  # bytes a second


async def check(call: Call) -> Reply:
    """A line for each step and each finding; the last one counts the findings."""
    rate = call.number("rate", RATE)
    assert rate is not None
    if not 0 <= rate <= RATE_LIMIT:
        raise Invalid(f"invalid value for query parameter rate: {rate}")
    return Reply(200, JSON, _events(call, call.flag("repair"), rate))


async def _events(call: Call, repair: bool, rate: int) -> AsyncGenerator[bytes, None]:
    count = repaired = 0
    try:
        async with contextlib.aclosing(call.engine.inspection.run(repair=repair, rate=rate)) as events:
            async for event in events:
                if isinstance(event, Found):
                    count += 1
                    repaired += bool(event.repaired)
                    yield line({"Finding": _finding(event)})
                else:
                    yield line({"Progress": {"Part": event.part, "Done": event.done, "Total": event.total}})
    except BoxshipError as error:
        yield line({"Error": str(error)})
        return
    yield line({"Findings": count, "Repaired": repaired})


def _finding(found: Found) -> dict[str, object]:
    return {
        "What": found.what,
        "Problem": found.problem,
        "UsedBy": list(found.users),
        "Advice": found.advice,
        "Repaired": found.repaired,
    }


async def usage(call: Call) -> Reply:
    parts = await call.engine.system.parts()
    info = await call.engine.system.info()
    shown = [{"Name": part.name, "Size": part.size, "Count": part.count, "Path": part.path} for part in parts]
    return reply({"Root": info.data_root, "Total": sum(part.size for part in parts), "Parts": shown})


ROUTES = (
    Route("POST", "/boxship/system/check", check, query=("repair", "rate")),
    Route("GET", "/boxship/system/usage", usage),
)
