"""A builder that plays events from a script, for tests of the doors and of the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from boxship.builder.dockerfile.syntax import Finding, Location
from boxship.builder.model import BuildEvent, BuildRequest, Built, CacheRecord, Planned, StepStarted
from boxship.errors import NotFound

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


def planned(*instructions: str) -> Planned:
    return Planned(steps(*instructions))


def finding(rule: str = "StageNameCasing", line: int = 1, message: str = "say it so") -> Finding:
    return Finding(rule, message, Location("Dockerfile", line, line))
