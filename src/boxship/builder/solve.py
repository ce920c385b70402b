"""Carries a graph out: every step in a task of its own that waits for its inputs alone.

A step's key comes from the content of its inputs. What the cache has is taken from there; what another build is just
making is waited for; the rest is executed, a bounded number at a time. When the caller goes, everything is cancelled,
and what was running has ended before this returns.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import msgspec

from boxship.builder import keys
from boxship.builder.cache import Cache, Record
from boxship.builder.exchange import Imported, Imports
from boxship.builder.explaining import FILES_LIMIT, difference, pack_files
from boxship.builder.graph import Configure, CopyAction, FolderAction, Graph, Load, RunAction, Step
from boxship.builder.model import StepFinished, StepOutput, StepStarted
from boxship.builder.operations import (
    Agents,
    CopyOperation,
    CopySource,
    FolderOperation,
    FolderTree,
    LayerTree,
    Operation,
    RunOperation,
    Said,
    Selection,
)
from boxship.builder.workshop import Loader, Result, Tell, Wanted, Workshop
from boxship.content import Lease, layer_key
from boxship.errors import BoxshipError
from boxship.images.model import Layer
from boxship.spec import digest as digests
from boxship.waiting.together import both, first, together

STDERR = 2


class StepError(Exception):
    """A step failed, for a reason that is told."""

    def __init__(self, step: Step, reason: BoxshipError) -> None:
        super().__init__(str(reason))
        self.step = step
        self.reason = reason


class Solver:
    """One graph of one build."""

    def __init__(
        self,
        graph: Graph,
        workshop: Workshop,
        loader: Loader,
        lease: Lease,
        tell: Tell,
        *,
        agents: Agents | None = None,
        imports: Imports | None = None,
        name: str = "",
        fresh: str = "",
    ) -> None:
        self._graph = graph
        self._workshop = workshop
        self._loader = loader
        self._lease = lease
        self._tell = tell
        self._agents = agents
        self._imports = imports or Imports()
        self._name = name  # of what is built, to find an earlier build of it again
        self._fresh = fresh  # sets apart what must not be shared with other builds
        self._tasks: dict[str, asyncio.Task[Result]] = {}
        self.held: list[str] = []

    async def solve(self) -> dict[str, Result]:
        """Carry out every step; the results by step. Raises StepError."""
        try:
            async with asyncio.TaskGroup() as group:
                for step in self._graph.steps.values():
                    self._tasks[step.id] = group.create_task(self._watched(step))
        except BaseExceptionGroup as failures:
            raise first(failures) from failures
        return {name: task.result() for name, task in self._tasks.items()}

    async def _watched(self, step: Step) -> Result:
        """One step, with its events."""
        for name in step.inputs:
            await self._tasks[name]
        self._tell(started(step))
        began = time.monotonic()
        reason: list[str] = []
        try:
            result = await self._result(step, reason)
        except asyncio.CancelledError:
            self._tell(StepFinished(step.id, seconds=time.monotonic() - began, error="canceled"))
            raise
        except BoxshipError as error:
            self._tell(StepFinished(step.id, seconds=time.monotonic() - began, error=str(error)))
            raise StepError(step, error) from error
        seconds = time.monotonic() - began
        self._tell(StepFinished(step.id, result.cached, seconds, "".join(reason)))
        return result

    def _of(self, name: str) -> Result:
        return self._tasks[name].result()

    def _base(self, step: Step) -> LayerTree:
        """The files that a step stands on."""
        tree = self._of(step.base).tree if step.base else LayerTree()
        assert isinstance(tree, LayerTree)  # folders are made layers before steps stand on them
        return tree

    async def _result(self, step: Step, reason: list[str]) -> Result:
        action = step.action
        if isinstance(action, Configure):
            return Result(self._base(step), cached=True)
        if isinstance(action, Load):
            return await self._load(step, action)
        base = self._base(step)
        operation, digests = await self._bound(action)
        parts = keys.operation_parts(operation, base, digests)
        wanted = Wanted(keys.key_of(parts), parts, f"{self._name}/{step.stage}/{step.number}", base, operation)
        record = None if step.no_cache else self._workshop.cache.find(wanted.key)
        if record is not None:
            await self._keep(record)
            return await self._taken(wanted, record, cached=True)
        imported = None if step.no_cache else self._imports.find(wanted.key)
        if imported is not None and (record := await self._bring(step, wanted, imported)) is not None:
            return await self._taken(wanted, record, cached=True)
        known = earlier(self._workshop.cache, wanted, step.no_cache)
        record = await self._make(step, wanted)
        reason.append(known if isinstance(known, str) else await explained(self._workshop, known, record))
        return await self._taken(wanted, record, cached=False)

    async def _load(self, step: Step, action: Load) -> Result:
        if action.source is None:
            return Result(LayerTree(), cached=True)
        loaded = await self._loader.load(action.source, step.id, self._tell, self._lease)
        return Result(loaded.tree, image=loaded.image, cached=loaded.cached)

    async def _bound(self, action: CopyAction | RunAction | FolderAction) -> tuple[Operation, tuple[str, ...]]:
        """The operation with its trees, and a digest of each input."""
        if isinstance(action, FolderAction):
            return action.operation, ()
        if isinstance(action, CopyAction):
            parents = action.operation.parents
            sources = [
                msgspec.structs.replace(source, tree=self._of(name).tree) if name else source
                for source, name in zip(action.operation.sources, action.inputs, strict=True)
            ]
            digests = await together(self._digest(source, parents) for source in sources)
            return msgspec.structs.replace(action.operation, sources=tuple(sources)), tuple(digests)
        mounts = [
            msgspec.structs.replace(mount, tree=self._of(name).tree) if name else mount
            for mount, name in zip(action.operation.mounts, action.inputs, strict=True)
        ]
        wanted = [
            CopySource(mount.tree, Selection((mount.source,), wildcards=False)) if mount.tree is not None else None
            for mount in mounts
        ]
        found = await together(self._digest(source, False) for source in wanted)
        return msgspec.structs.replace(action.operation, mounts=tuple(mounts)), tuple(found)

    async def _digest(self, source: CopySource | None, parents: bool) -> str:
        if source is None:
            return ""
        if source.inline is not None:
            return keys.inline_digest(source)
        return await self._workshop.sums.checksum(source, parents=parents)

    async def _make(self, step: Step, wanted: Wanted) -> Record:
        """Execute a step, or wait for another build that does."""
        workshop = self._workshop

        async def work(said: Said, land: Callable[[Record], Awaitable[None]]) -> None:
            async with workshop.garbage.lease() as lease:
                async with workshop.places:
                    made, files = await both(
                        self._execute(step, wanted, said, lease), listed(workshop, wanted.operation, lease)
                    )
                now = time.time_ns()
                record = Record(
                    key=wanted.key,
                    layer=made,
                    description=step.name,
                    created=now,
                    used=now,
                    slot=wanted.slot,
                    parts=wanted.parts,
                    files=files,
                )
                await workshop.cache.put(record)
                await land(record)

        proxies = step.action.proxies if isinstance(step.action, RunAction) else {}
        flight = f"{wanted.key} {keys.circumstances(wanted.operation, proxies)}"
        if step.no_cache or uses_agents(wanted.operation):
            flight += f" {self._fresh}"
        record, _ = await workshop.flights.share(flight, work, self._said(step), self._keep)
        return record

    async def _bring(self, step: Step, wanted: Wanted, imported: Imported) -> Record | None:
        """Fetch what another machine has made; None where that does not work."""
        workshop = self._workshop

        async def work(said: Said, land: Callable[[Record], Awaitable[None]]) -> None:
            async with workshop.garbage.lease() as lease:
                layer = await self._imports.bring(imported, wanted.base, workshop.shelf, lease)
                record = Record(
                    key=wanted.key,
                    layer=layer,
                    description=step.name,
                    created=imported.entry.created,
                    used=time.time_ns(),
                    slot=wanted.slot,
                    parts=wanted.parts,
                )
                await workshop.cache.put(record)
                await land(record)

        try:
            record, _ = await workshop.flights.share(wanted.key, work, self._said(step), self._keep)
        except BoxshipError as error:
            self._said(step)(STDERR, f"cannot use the imported cache: {error}\n".encode())
            return None
        return record

    async def _execute(self, step: Step, wanted: Wanted, said: Said, lease: Lease) -> Layer | None:
        executor, operation = self._workshop.executor, wanted.operation
        if isinstance(operation, CopyOperation):
            return await executor.copy(wanted.base, operation, lease)
        if isinstance(operation, FolderOperation):
            return await executor.folder(wanted.base, operation, lease)
        assert isinstance(step.action, RunAction)
        hidden = msgspec.structs.replace(operation, secrets=step.action.proxies | operation.secrets)
        return await executor.run(wanted.base, hidden, said, self._agents, lease)

    async def _keep(self, record: Record) -> None:
        """Nothing that this build uses may go before it ends."""
        self._workshop.cache.hold([record.key])
        self.held.append(record.key)
        if record.layer is not None:
            await self._lease.add(record.layer.blob)
            await self._lease.add(layer_key(record.layer.chain_id))

    async def _taken(self, wanted: Wanted, record: Record, *, cached: bool) -> Result:
        if cached:
            self._workshop.cache.touch(record.key, wanted.slot)
        layer, base = record.layer, wanted.base
        if layer is None:
            return Result(base, key=record.key, created=record.created, cached=cached)
        if layer.chain_id != digests.chain_id(base.chain_id, layer.diff_id):
            layer = await self._workshop.shelf.rebase(layer, base, self._lease)
        return Result(LayerTree((*base.layers, layer)), layer, record.created, record.key, cached)

    def _said(self, step: Step) -> Said:
        return lambda stream, data: self._tell(StepOutput(step.id, stream, data))


async def listed(workshop: Workshop, operation: Operation, lease: Lease) -> str:
    """The blob that lists the files which a COPY from a folder brings, for later explanations; "" where there are none
    or too many. It is made while the copy goes on, and a failure is the copy's matter alone."""
    if not isinstance(operation, CopyOperation):
        return ""
    found: dict[str, str] = {}
    try:
        for source in operation.sources:
            if isinstance(source.tree, FolderTree):
                found |= await workshop.executor.listing(source, parents=operation.parents)
    except BoxshipError:
        return ""
    if not 0 < len(found) <= FILES_LIMIT:
        return ""
    return await workshop.shelf.store_files(await asyncio.to_thread(pack_files, found), lease)


def earlier(cache: Cache, wanted: Wanted, unused: bool) -> Record | str:
    """The record that the wanted one is to be compared with, or why there is none."""
    if unused:
        return "the cache is not used"
    if wanted.key in cache.pruned:
        return "it was pruned"
    known = cache.like(wanted.parts) or cache.at(wanted.slot)
    if known is None or known.parts.get("kind") != wanted.parts["kind"]:
        return "never built before"
    return known


async def explained(workshop: Workshop, before: Record, now: Record) -> str:
    """Why an earlier result was not good enough."""
    files: list[dict[str, str]] = [{}, {}]
    if before.files and now.files:
        with contextlib.suppress(BoxshipError):  # it was removed meanwhile
            files = [await workshop.shelf.read_files(record.files) for record in (before, now)]
    return await asyncio.to_thread(difference, before.parts, now.parts, *files)


def uses_agents(operation: Operation) -> bool:
    """Whether a command speaks to the client's ssh agents: these end with the client."""
    return isinstance(operation, RunOperation) and any(mount.kind == "ssh" for mount in operation.mounts)


def started(step: Step) -> StepStarted:
    """The event that a step begins; also how it is announced."""
    return StepStarted(
        step=step.id,
        name=step.name,
        stage=step.stage,
        number=step.number,
        total=step.total,
        location=step.location,
        inputs=step.inputs,
        instruction=step.instruction,
    )
