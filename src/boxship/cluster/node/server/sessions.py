"""Exec and attach: carries bytes between a process's streams and a client until one of both ends.

Each way goes at the pace of its reader. When the client goes, the process's input ends and nobody listens to its
output any more; when the process ends, the client reads all of its output, then how it ended. One thing goes out of
turn: `kubectl cp` leaves as soon as it has seen the end of an archive, so that end waits for what `tar` has to say.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from boxship.cluster.node.server.channels import ERROR, RESIZE, STDERR, STDIN, STDOUT, ClientEnd
from boxship.cluster.objects import Object
from boxship.engine.attachments import Streams
from boxship.errors import BoxshipError, Canceled
from boxship.waiting import to_the_end

SIZE_LIMIT = 65535
ARCHIVE_END, KEPT_BYTES = 1024, 20 << 10  # zeros that end an archive: at least, and as tar writes them by default
SEEN_SECONDS = 0.1  # that a client has to show what went wrong: it reads its streams side by side
Resize = Callable[[int, int], Awaitable[None]]  # rows, columns
ExitCode = Callable[[], Awaitable[int]]


class Wanted(msgspec.Struct, frozen=True):
    """Which streams the client has."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


async def carry(
    client: ClientEnd, streams: Streams, wanted: Wanted, resize: Resize, exit_code: ExitCode, gone: asyncio.Event
) -> None:
    """Until one of both has ended; `gone` tells that the client is away where it is not read from. Closes both."""
    leaving = asyncio.ensure_future(gone.wait())
    taking = asyncio.ensure_future(_take(client, streams, wanted, resize))
    sending = asyncio.ensure_future(_send(client, streams, wanted))
    try:
        done, _ = await asyncio.wait((taking, sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        if sending in done:  # all output is out
            refusal, kept = sending.result()
            with contextlib.suppress(Canceled):
                status = failed(refusal) if refusal else ended(await exit_code())
                if kept and status["status"] == "Success":
                    await client.send(STDOUT, kept)
                await tell(client, status)
                if kept and status["status"] != "Success":
                    await asyncio.sleep(SEEN_SECONDS)
                    await client.send(STDOUT, kept)
    finally:
        tasks: tuple[asyncio.Future[Any], ...] = (taking, sending, leaving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await to_the_end(_let_go(client, streams))


async def _let_go(client: ClientEnd, streams: Streams) -> None:
    with contextlib.suppress(BoxshipError, OSError):
        await streams.end_input()
    with contextlib.suppress(BoxshipError, OSError):
        await streams.close()
    with contextlib.suppress(BoxshipError, OSError):
        await client.close()


async def _send(client: ClientEnd, streams: Streams, wanted: Wanted) -> tuple[str, bytes]:
    """The process's output to its end: why there is none, if so; and what of it is still to be sent, the end of an
    archive that nothing followed."""
    kept = b""
    keeps = wanted.stderr and not wanted.stdin and not wanted.tty  # with an input, somebody may wait for every byte
    try:
        async for number, data in streams.output():
            if number == STDOUT and wanted.stdout:
                data, kept = split(kept + data) if keeps else (data, b"")
                if data:
                    await client.send(STDOUT, data)
            elif number == STDERR and wanted.stderr and not wanted.tty:
                await client.send(STDERR, data)
    except Canceled:
        raise
    except BoxshipError as error:
        return str(error), kept
    return "", kept


def split(data: bytes) -> tuple[bytes, bytes]:
    """Into what can be sent and the end of an archive, which may be empty; never more than a piece is kept."""
    zeros = len(data) - len(data.rstrip(b"\0"))
    kept = min(zeros, KEPT_BYTES) if zeros >= ARCHIVE_END else 0
    return data[: len(data) - kept], data[len(data) - kept :]


async def _take(client: ClientEnd, streams: Streams, wanted: Wanted, resize: Resize) -> None:
    """What the client sends, until it is away."""
    while (sent := await client.receive()) is not None:
        if sent.channel == STDIN and wanted.stdin:
            with contextlib.suppress(BoxshipError, OSError):  # a process may have closed its input
                if sent.data:
                    await streams.write(sent.data)
                if sent.ends:
                    await streams.end_input()
        elif sent.channel == RESIZE and wanted.tty and sent.data:
            size = read_size(sent.data)
            if size is not None:
                with contextlib.suppress(BoxshipError):  # it has ended meanwhile
                    await resize(*size)


def read_size(data: bytes) -> tuple[int, int] | None:
    """Rows and columns of a message {"Width":…,"Height":…}; of several in one piece the last."""
    for line in reversed(data.splitlines()):
        try:
            size = msgspec.json.decode(line)
            rows, columns = int(size["Height"]), int(size["Width"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            continue
        if 0 < rows <= SIZE_LIMIT and 0 < columns <= SIZE_LIMIT:
            return rows, columns
    return None


async def tell(client: ClientEnd, status: Object) -> None:
    """How it ended, on the channel for that."""
    if client.tells_status:
        await client.send(ERROR, msgspec.json.encode(status))
    elif status["status"] != "Success":
        await client.send(ERROR, status["message"].encode())


def ended(code: int) -> Object:
    """A Status for an exit code."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: error executing command, exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failed(why: str) -> Object:
    """A Status for what never ran, or broke off."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {why}",
        "reason": "InternalError",
        "details": {"causes": [{"message": why}]},
        "code": 500,
    }
