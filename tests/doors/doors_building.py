"""A desk of a door with a fake engine and a fake builder, archives and streams for it."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from doors_fake import FakeEngine

from boxship.builder.contexts import TRASH, Contexts
from boxship.doors.docker.builds import Builds
from boxship.doors.docker.door import Door
from boxship.transport.exchange import Reply, Request
from boxship.transport.memory import Client
from fake_builder import FakeBuilder


class BuildDesk(Client):
    """A client of a door with a fake engine and a fake builder."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.builder = FakeBuilder()
        self.contexts = Contexts(folder / "contexts", **limits)
        self.folder = folder / "contexts"
        (self.folder / TRASH).mkdir(parents=True)
        door = Door(FakeEngine(), Builds(self.builder, self.contexts))  # type: ignore[arg-type]

        async def handle(request: Request) -> Reply | None:
            return await door.handle(request)

        super().__init__(handle)

    async def build(self, query: str = "", body: Any = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Status and whole body of a classic build."""
        fields = {"Content-Type": "application/x-tar", **(headers or {})}
        answer = await self.call("POST", f"/v1.51/build{query}", body, fields)
        return answer.status, await answer.read()

    def left(self) -> list[str]:
        """Contexts that are still there."""
        return [path.name for path in self.folder.iterdir() if path.name != TRASH]


def registry_header(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode()


def lines_of(body: bytes) -> list[Any]:
    """The values of a progress stream; every line has to end with CR LF."""
    assert body.endswith(b"\r\n")
    return [msgspec.json.decode(text) for text in body.split(b"\r\n")[:-1]]


def streams(values: Iterable[Any]) -> str:
    """What a client prints of the values."""
    return "".join(value.get("stream", "") for value in values)
