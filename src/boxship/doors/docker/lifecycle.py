"""Containers as verbs: start, stop, restart, kill, pause, unpause, wait, resize."""

from collections.abc import AsyncIterator, Awaitable

import msgspec

from boxship.doors.docker.call import Call, no_content
from boxship.doors.docker.errors import JSON
from boxship.doors.docker.router import Route
from boxship.engine.lives import WaitResult
from boxship.errors import Invalid
from boxship.transport.exchange import Reply

SMALL_BODY_BYTES = 7  # "null", "{}" and line ends, which old clients send with a start


async def start(call: Call) -> Reply:
    body = await call.request.body(1 << 20)
    if len(body) > SMALL_BODY_BYTES:
        raise Invalid(
            "starting a container with non-empty request body was deprecated since API v1.22 and removed in v1.24"
        )
    await call.engine.life.start(call.id)
    return no_content()


async def stop(call: Call) -> Reply:
    await call.engine.life.stop(call.id, timeout=call.number("t"), signal=call.text("signal"))
    return no_content()


async def restart(call: Call) -> Reply:
    await call.engine.life.restart(call.id, timeout=call.number("t"), signal=call.text("signal"))
    return no_content()


async def kill(call: Call) -> Reply:
    await call.engine.life.kill(call.id, signal=call.text("signal"))
    return no_content()


async def pause(call: Call) -> Reply:
    await call.engine.life.pause(call.id)
    return no_content()


async def unpause(call: Call) -> Reply:
    await call.engine.life.unpause(call.id)
    return no_content()


async def wait(call: Call) -> Reply:
    """The head goes out at once: clients start the container only after it has come."""
    ended = call.engine.life.wait(call.id, call.text("condition") or "not-running")
    return Reply(200, JSON, wait_body(ended))


async def wait_body(ended: Awaitable[WaitResult]) -> AsyncIterator[bytes]:
    result = await ended
    shown: dict[str, object] = {"StatusCode": result.exit_code}
    if result.error:
        shown["Error"] = {"Message": result.error}
    yield msgspec.json.encode(shown) + b"\n"


async def resize(call: Call) -> Reply:
    rows, columns = terminal_size(call)
    await call.engine.attachments.resize(call.id, rows, columns)
    return Reply(200)


def terminal_size(call: Call) -> tuple[int, int]:
    """(rows, columns) of the parameters h and w."""
    rows, columns = call.needed_number("h"), call.needed_number("w")
    if not (0 <= rows <= 65535 and 0 <= columns <= 65535):
        raise Invalid(f"invalid terminal size: {rows} rows, {columns} columns")
    return rows, columns


ROUTES = (
    Route(
        "POST",
        "/containers/{id}/start",
        start,
        query=("detachKeys",),  # without meaning since attach became a request of its own
        refused=("checkpoint", "checkpoint-dir"),
    ),
    Route("POST", "/containers/{id}/stop", stop, query=("t", "signal")),
    Route("POST", "/containers/{id}/restart", restart, query=("t", "signal")),
    Route("POST", "/containers/{id}/kill", kill, query=("signal",)),
    Route("POST", "/containers/{id}/pause", pause),
    Route("POST", "/containers/{id}/unpause", unpause),
    Route("POST", "/containers/{id}/wait", wait, query=("condition",)),
    Route("POST", "/containers/{id}/resize", resize, query=("h", "w")),
)
