"""A builder that plays events from a script, and a desk with it, for the tests of the build doors."""

from __future__ import annotations

import asyncio
import base64
import io
import tarfile
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any

import msgspec
from doors_fake import FakeEngine

from boxship.builder.contexts import Contexts
from boxship.builder.dockerfile.syntax import Finding, Location
from boxship.builder.model import BuildEvent, BuildRequest, Built, CacheRecord, Planned, StepStarted
from boxship.doors.docker.builds import Builds
from boxship.doors.docker.door import Door
from boxship.errors import NotFound
from boxship.transport.exchange import Reply, Request
from boxship.transport.memory import Client

IMAGE = "sha256:" + "ab" * 32


def steps(*instructions: str) -> tuple[StepStarted, ...]:
    """Steps named s1, s2, … of one stage."""
    return tuple(
        StepStarted(
            step=f"s{index}",
            name=f"[{index}/{len(instructions)}] {text}",
            number=index,
            total=len(instructions),
            instruction=text,
        )
        for index, text in enumerate(instructions, 1)
    )


class FakeBuilder:
    """Plays `script`: events, exceptions to raise, and asyncio.Events to wait for. It looks at the context's files."""

    def __init__(self) -> None:
        self.script: list[BuildEvent | BaseException | asyncio.Event] = [Built(image=IMAGE)]
        self.requests: list[BuildRequest] = []
        self.files: dict[str, bytes] = {}
        self.named_files: dict[str, dict[str, bytes]] = {}
        self.ended = asyncio.Event()
        self.was_cancelled = False
        self.agents: Any = None
        self.talk: Any = None  # async (agents) -> None, called before the script
        self.records: list[CacheRecord] = []
        self.pruned: dict[str, Any] = {}
        self.findings: tuple[Finding, ...] = ()

    def _look(self, request: BuildRequest) -> None:
        self.requests.append(request)
        if request.context is not None:
            self.files = contents(request.context.path)
        for name, tree in request.contexts.items():
            if not isinstance(tree, str):
                self.named_files[name] = contents(tree.path)

    async def build(self, request: BuildRequest, *, agents: Any = None) -> AsyncGenerator[BuildEvent, None]:
        self._look(request)
        self.agents = agents
        try:
            async with asyncio.TaskGroup():  # as the real one: it breaks where several tasks drive one generator
                if self.talk is not None:
                    await self.talk(agents)
                for item in self.script:
                    if isinstance(item, BaseException):
                        raise item
                    if isinstance(item, asyncio.Event):
                        await item.wait()
                        continue
                    yield item
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self.ended.set()

    async def check(self, request: BuildRequest) -> tuple[Finding, ...]:
        self._look(request)
        return self.findings

    async def cache_records(self) -> tuple[CacheRecord, ...]:
        return tuple(self.records)

    async def prune(self, **options: Any) -> tuple[list[str], int]:
        self.pruned = options
        return [record.id for record in self.records], sum(record.size for record in self.records)

    async def remove_cache_volume(self, identifier: str) -> int:
        for record in self.records:
            if record.id == identifier:
                self.records.remove(record)
                return record.size
        raise NotFound(f"No such cache volume: {identifier}")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class BuildDesk(Client):
    """A client of a door with a fake engine and a fake builder."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.builder = FakeBuilder()
        self.contexts = Contexts(folder / "contexts", **limits)
        self.folder = folder / "contexts"
        self.folder.mkdir()
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
        return [path.name for path in self.folder.iterdir()]


def tar_of(files: dict[str, bytes | str], mode: str = "w") -> bytes:
    """An archive of files; `mode` may compress ("w:gz", "w:bz2", "w:xz")."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def planned(*instructions: str) -> Planned:
    return Planned(steps(*instructions))


def finding(rule: str = "StageNameCasing", line: int = 1, message: str = "say it so") -> Finding:
    return Finding(rule, message, Location("Dockerfile", line, line))


def registry_header(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode()


def lines_of(body: bytes) -> list[Any]:
    """The values of a progress stream; every line has to end with CR LF."""
    assert body.endswith(b"\r\n")
    return [msgspec.json.decode(text) for text in body.split(b"\r\n")[:-1]]


def streams(values: Iterable[Any]) -> str:
    """What a client prints of the values."""
    return "".join(value.get("stream", "") for value in values)
