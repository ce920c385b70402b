"""The classic build: `POST /build` with a context as its body, or with `remote` in place of one; and its cancellation.

What is wrong before the first line is an ordinary error; from then on failures are told in the stream. A client that
goes away ends its build.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

import msgspec

from boxship.builder.failures import BuildFailed
from boxship.builder.model import BuildEvent, Built
from boxship.builder.operations import FolderTree
from boxship.doors.docker.build_classic import ClassicWriter, Line, text
from boxship.doors.docker.build_query import QUERY, REFUSED, build_request
from boxship.doors.docker.builds import RunningBuild
from boxship.doors.docker.call import Call
from boxship.doors.docker.errors import JSON, error_reply
from boxship.doors.docker.router import Route
from boxship.errors import BoxshipError, Invalid
from boxship.transport.exchange import Reply
from boxship.wire.ndjson import line

CRLF = b"\r\n"
HELD_BYTES = 8 << 20  # of a quiet build's output, which is shown if it fails


class ClassicBody:
    """The lines of one build, as they come. With `quiet` the image's id alone, or everything where the build fails."""

    def __init__(self, call: Call, running: RunningBuild, contexts: list[FolderTree]) -> None:
        self._call = call
        self._running = running
        self._contexts = contexts
        self._quiet = call.flag("q")
        keeps = call.text("rm") and not call.flag("rm") and not call.flag("forcerm")
        self._writer = ClassicWriter(aux=call.since(1, 30), rm=not keeps, cache=not call.flag("nocache"))
        self._lines: deque[bytes] = deque()
        self._held: list[Line] = []
        self._held_bytes = 0
        self._begun = False
        self._over = False

    def __aiter__(self) -> "ClassicBody":
        return self

    async def __anext__(self) -> bytes:
        await self._fill()
        if not self._lines:
            raise StopAsyncIteration
        return self._lines.popleft()

    async def prime(self, gone: asyncio.Event) -> None:
        """Wait for the first line. Raises what the build raises before it, Canceled when the client goes."""
        leaving = asyncio.ensure_future(gone.wait())
        leaving.add_done_callback(lambda done: None if done.cancelled() else self._running.cancel())
        try:
            await self._fill()
        finally:
            leaving.cancel()

    async def _fill(self) -> None:
        while not self._lines and not self._over:
            try:
                event = await self._running.next()
            except Exception as error:  # the border of a request, whose head may have gone out
                self._fail(error)
                event = None
            if event is None:
                self._over = True
                await self.aclose()
            else:
                self._take(event)

    def _take(self, event: BuildEvent) -> None:
        if not self._quiet:
            self._say(self._writer.write(event))
        elif isinstance(event, Built):
            self._say([text(f"{event.image}\n")])
        else:
            for value in self._writer.write(event):
                self._held_bytes += len(value.get("stream", ""))
                if "stream" in value and self._held_bytes <= HELD_BYTES:
                    self._held.append(value)

    def _fail(self, error: Exception) -> None:
        step = error.step if isinstance(error, BuildFailed) else ""
        self._held += self._writer.failed(step)
        if not self._begun and not self._held:
            raise error
        self._say(self._held)
        self._say([failure(self._call, error)])

    def _say(self, values: Iterable[Line]) -> None:
        for value in values:
            self._begun = True
            self._lines.append(line(value, CRLF))

    async def aclose(self) -> None:
        """End the build, and remove its context."""
        await self._running.close(self._contexts)


async def build(call: Call) -> Reply:
    builds = call.builds
    build_request(call, None)  # what is wrong with it is said before the context is taken
    contexts = [] if call.text("remote") else [await builds.contexts.receive(call.request.chunks())]
    running = builds.start(build_request(call, contexts[0] if contexts else None), identifier=call.text("buildid"))
    body = ClassicBody(call, running, contexts)
    try:
        await body.prime(call.request.client_gone)
    except BaseException:
        await body.aclose()
        raise
    return Reply(200, JSON, body)


def failure(call: Call, error: Exception) -> Line:
    """The last line of a build that failed."""
    if isinstance(error, BuildFailed) and error.code:
        message = f"The command '{error.command}' returned a non-zero code: {error.code}"
        return {"errorDetail": {"code": error.code, "message": message}, "error": message}
    if isinstance(error, BoxshipError):
        message = str(error)
    else:
        body = error_reply(error, call.request).body
        assert isinstance(body, bytes)
        message = msgspec.json.decode(body)["message"]
    return {"errorDetail": {"message": message}, "error": message}


async def cancel(call: Call) -> Reply:
    identifier = call.text("id")
    if not identifier:
        raise Invalid("build ID not provided")
    call.builds.cancel(identifier)
    return Reply(200)


ROUTES = (
    Route("POST", "/build", build, query=QUERY, refused=REFUSED),
    Route("POST", "/build/cancel", cancel, query=("id",), minimum=(1, 39)),
)
