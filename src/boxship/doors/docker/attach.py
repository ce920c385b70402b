"""Streams between a client and a process: attach over a taken-over connection and over a WebSocket, and logs."""

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from typing import Any

from boxship.doors.docker.call import Call, rfc3339
from boxship.doors.docker.router import Route
from boxship.engine.attachments import Streams
from boxship.errors import BoxshipError, Canceled, Invalid
from boxship.spec.log import LogRecord
from boxship.transport.exchange import RawStream, Reply
from boxship.wire.stream import MULTIPLEXED, RAW, STDERR, frame


async def attach(call: Call) -> None:
    streams = await open_streams(call)
    await carry(call, streams)


async def open_streams(call: Call) -> Streams:
    return await call.engine.attachments.attach(
        call.id,
        stdin=call.flag("stdin"),
        stdout=call.flag("stdout"),
        stderr=call.flag("stderr"),
        logs=call.flag("logs"),
        stream=call.flag("stream"),
        detach_keys=call.text("detachKeys"),
    )


def content_type(call: Call, tty: bool) -> str:
    """Clients before API 1.42 know one type alone."""
    return RAW if tty or not call.since(1, 42) else MULTIPLEXED


async def carry(call: Call, streams: Streams) -> None:
    """Take the connection over and carry bytes both ways until the output ends or the client is away."""
    try:
        stream = await take_over(call, streams.tty)
    except BaseException:
        await streams.close()
        raise
    await pump(streams, stream)


async def pump(streams: Streams, stream: RawStream) -> None:
    """Carry bytes both ways over a connection that is taken over, then close both."""
    tasks: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(send_output(streams, stream)),
        asyncio.ensure_future(stream.gone.wait()),
    ]
    reader = asyncio.ensure_future(take_input(streams, stream))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(*tasks, reader)
        await streams.close()
        await stream.close()


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs and wait for it."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def take_over(call: Call, tty: bool) -> RawStream:
    """With an Upgrade the answer is 101, without one 200 and raw bytes until the end."""
    kind = content_type(call, tty)
    if call.request.headers.get("Upgrade"):
        headers = {"Content-Type": kind, "Connection": "Upgrade", "Upgrade": "tcp"}
        return await call.request.hijack(101, "UPGRADED", headers)
    return await call.request.hijack(200, "OK", {"Content-Type": kind})


async def send_output(streams: Streams, stream: RawStream) -> None:
    """The process's output to the client, framed where there is no terminal. Errors become text on the stream."""
    try:
        async for number, data in streams.output():
            await stream.write(data if streams.tty else frame(number, data))
    except Canceled:
        return
    except BoxshipError as error:
        text = f"Error attaching: {error}\r\n".encode()
        with contextlib.suppress(Canceled):
            await stream.write(text if streams.tty else frame(STDERR, text))


async def take_input(streams: Streams, stream: RawStream) -> None:
    """The client's bytes to the process; the client's half-close ends the process's input alone."""
    with contextlib.suppress(BoxshipError, ConnectionError, BrokenPipeError):
        while data := await stream.read():
            await streams.write(data)
    with contextlib.suppress(BoxshipError, ConnectionError, BrokenPipeError):
        await streams.end_input()


async def attach_websocket(call: Call) -> None:
    """Binary messages both ways, without frames; streams that are not asked for stay silent."""
    streams = await open_streams(call)
    try:
        socket = await call.request.websocket()
    except BaseException:
        await streams.close()
        raise

    async def send() -> None:
        async for _, data in streams.output():
            await socket.send(data)

    async def take() -> None:
        with contextlib.suppress(BoxshipError):
            while (data := await socket.receive()) is not None:
                await streams.write(data)

    tasks = [asyncio.ensure_future(send()), asyncio.ensure_future(take())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(*tasks)
        await streams.close()
        await socket.close()


async def logs(call: Call) -> Reply:
    stdout, stderr = call.flag("stdout"), call.flag("stderr")
    if not stdout and not stderr:
        raise Invalid("Bad parameters: you must choose at least one stream")
    container = call.engine.containers.get(call.id)
    records = call.engine.attachments.logs(
        container.id,
        stdout=stdout,
        stderr=stderr,
        follow=call.flag("follow"),
        since=call.moment("since"),
        until=call.moment("until"),
        tail=tail_of(call.text("tail")),
        merge=not call.flag("timestamps") and not call.flag("details"),
    )
    details = call.engine.attachments.log_attributes(container.id) if call.flag("details") else None
    tty = container.spec.tty
    kind = {"Content-Type": content_type(call, tty)}
    return Reply(200, kind, log_lines(records, tty=tty, timestamps=call.flag("timestamps"), details=details))


def tail_of(text: str) -> int | None:
    """What is no number means all, as in Docker."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


async def log_lines(
    records: AsyncIterator[LogRecord], *, tty: bool, timestamps: bool, details: Mapping[str, str] | None
) -> AsyncIterator[bytes]:
    """Each record with what was asked for in front of it; a line's further parts get nothing in front."""
    attributes = details_text(details)
    continued = {1: False, 2: False}
    try:
        async for record in records:
            head = ""
            if not continued.get(record.stream):
                head = (f"{rfc3339(record.time, fixed=True)} " if timestamps else "") + attributes
            continued[record.stream] = record.partial
            data = head.encode() + record.data
            yield data if tty else frame(record.stream, data)
    finally:
        close = getattr(records, "aclose", None)
        if close is not None:
            await close()


def details_text(details: Mapping[str, str] | None) -> str:
    if details is None:
        return ""
    pairs = (f"{urllib.parse.quote(key)}={urllib.parse.quote(value)}" for key, value in sorted(details.items()))
    return ",".join(pairs) + " "


ATTACH = ("detachKeys", "logs", "stream", "stdin", "stdout", "stderr")
ROUTES = (
    Route("POST", "/containers/{id}/attach", attach, query=ATTACH),
    Route("GET", "/containers/{id}/attach/ws", attach_websocket, query=ATTACH),
    Route(
        "GET",
        "/containers/{id}/logs",
        logs,
        query=("follow", "stdout", "stderr", "since", "until", "timestamps", "tail", "details"),
    ),
)
