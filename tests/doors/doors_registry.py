"""The OCI door served over a real socket, and a client that says exactly what it is told to."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from boxship.doors.oci.door import Door
from boxship.doors.oci.gate import Gate
from boxship.registry.access import Access
from boxship.registry.logins import Users
from boxship.registry.tokens import Tokens
from boxship.transport.listen import PlainAddress
from boxship.transport.server import Server
from registry_kit import Bench, bench


class Answer:
    """What came back, whole."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The specification's code of a refusal."""
        error = self.json["errors"][0]
        assert error["message"] and set(error) == {"code", "message", "detail"}
        return str(error["code"])


class Peer:
    """A client of one registry."""

    def __init__(self, made: Bench, port: int, session: aiohttp.ClientSession) -> None:
        self.made = made
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._session = session

    async def call(
        self, method: str, path: str, data: Any = None, headers: dict[str, str] | None = None, **more: Any
    ) -> Answer:
        async with self._session.request(
            method, self.url + path, data=data, headers=headers, allow_redirects=False, **more
        ) as got:
            body = await got.read()
            assert got.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
            return Answer(got.status, got.headers, body)

    async def start(self, name: str, query: str = "") -> str:
        """Begin an upload; its address."""
        begun = await self.call("POST", f"/v2/{name}/blobs/uploads/{query}")
        assert begun.status == 202 and begun.headers["Docker-Upload-UUID"]
        return str(begun.headers["Location"])

    async def push_blob(self, name: str, data: bytes, digest: str) -> None:
        done = await self.call("PUT", f"{await self.start(name)}?digest={digest}", data)
        assert done.status == 201, done.body


@contextlib.asynccontextmanager
async def serving(
    root: Path, *, users: Path | None = None, tokens: bool = False, **options: Any
) -> AsyncIterator[Peer]:
    """A registry behind a socket, with nothing in it."""
    async with bench(root, **options) as made:
        access = Access(made.registry.policy, closed=users is not None)
        gate = Gate(access, Users(users) if users else None, Tokens(b"k" * 32, "test") if tokens else None)
        server = Server(Door(made.registry, gate, shows_metrics=True).handle)
        await server.start([PlainAddress("127.0.0.1", 0)])
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session:
                yield Peer(made, server.addresses[0][1], session)
        finally:
            await server.stop()


async def raw(port: int, data: bytes, *, end: bool = False) -> bytes:
    """Send bytes as they are; what comes back until the server closes or is silent for a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        if end:
            writer.write_eof()
        got = b""
        with contextlib.suppress(TimeoutError):
            while piece := await asyncio.wait_for(reader.read(65536), 1.0):
                got += piece
        return got
    finally:
        writer.close()
