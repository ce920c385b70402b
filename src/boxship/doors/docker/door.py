"""The door itself: version, route, handler, reply; the headers that every reply carries; errors into replies."""

import asyncio

from boxship import __version__
from boxship.doors.docker import (
    archive,
    attach,
    build,
    build_cache,
    build_session,
    checking,
    containers,
    events,
    execs,
    images,
    lifecycle,
    locks,
    networks,
    node,
    observing,
    registries,
    signatures,
    swarm,
    system,
    volumes,
)
from boxship.doors.docker.builds import Builds
from boxship.doors.docker.call import Call, Version
from boxship.doors.docker.errors import error_reply, message_reply
from boxship.doors.docker.node import Membership
from boxship.doors.docker.router import MAXIMUM, MINIMUM, Router, check_query, parse_version, split_version
from boxship.engine import Engine
from boxship.transport.exchange import Reply, Request

NOUNS = (
    containers,
    lifecycle,
    observing,
    attach,
    archive,
    execs,
    images,
    registries,
    signatures,
    build,
    build_cache,
    build_session,
    networks,
    volumes,
    system,
    checking,
    events,
    locks,
    swarm,
    node,
)
ROUTES = tuple(route for noun in NOUNS for route in noun.ROUTES)


def dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


HEADERS = {
    "Api-Version": dotted(MAXIMUM),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Boxship/{__version__} (linux)",
}


class Door:
    """Serves the Docker Engine API over one engine and, where there is one, its builder. `handle` is a transport
    handler."""

    def __init__(self, engine: Engine, builds: Builds | None = None, membership: Membership | None = None) -> None:
        self._engine = engine
        self._builds = builds
        self._membership = membership
        self._router = Router(ROUTES)

    async def handle(self, request: Request) -> Reply | None:
        """Answer one request. Nothing but cancellation leaves this function as an exception."""
        try:
            reply = await self._answer(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the border of a request: error_reply logs what is a mistake of ours
            reply = error_reply(error, request)
        if reply is None:
            return None
        return Reply(reply.status, {**HEADERS, **reply.headers}, reply.body)

    async def _answer(self, request: Request) -> Reply | None:
        text, path = split_version(request.path)
        version = MAXIMUM if text is None else parse_version(text)
        if version > MAXIMUM:
            return message_reply(
                400, f"client version {text} is too new. Maximum supported API version is {dotted(MAXIMUM)}"
            )
        if version < MINIMUM:
            why = (
                f"client version {text} is too old. Minimum supported API version is {dotted(MINIMUM)}, "
                "please upgrade your client to a newer version"
            )
            return Reply(400, {"Content-Type": "text/plain; charset=utf-8"}, why.encode() + b"\n")
        found = self._router.find(request.method, path, version)
        if found is None:
            return message_reply(404, "page not found")
        route, names = found
        if route.refused:
            check_query(route, request.query)
        return await route.handler(Call(self._engine, request, version, names, self._builds, self._membership))
