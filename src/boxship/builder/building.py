"""One build from its request to its end: read the Dockerfile, find its base images, plan, solve, hand out."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from typing import TypeVar

import msgspec

from boxship.builder.addresses import without_password
from boxship.builder.channel import Channel
from boxship.builder.checking import findings_of, refuse
from boxship.builder.composing import compose
from boxship.builder.dockerfile.arguments import EPOCH
from boxship.builder.dockerfile.parse import parse
from boxship.builder.dockerfile.problems import DockerfileError
from boxship.builder.dockerfile.syntax import Dockerfile, Finding, Location
from boxship.builder.exchange import TRUE, Exchange, Imports, inline_cache, wants_inline
from boxship.builder.exporting import Exporter
from boxship.builder.failures import BuildFailed
from boxship.builder.graph import Graph, ImageSource
from boxship.builder.loading import DOCKERFILE_BYTES, Loader, progress_of
from boxship.builder.model import BuildRequest, Built, CacheEnd, Noticed, Planned, StepFinished, StepStarted
from boxship.builder.operations import Agents, Executor, FolderTree, StepFailed
from boxship.builder.planner import Base, base_images, image_name, missing_bases, plan
from boxship.builder.solve import Solver, StepError, started
from boxship.builder.stages import Failure
from boxship.builder.workshop import Result, Workshop
from boxship.content import Lease
from boxship.errors import BoxshipError, Invalid, NotFound, Unsupported
from boxship.images.model import Image
from boxship.spec import platform as platforms
from boxship.spec.ignore import lines_of
from boxship.spec.image import ExecutionConfig, Platform
from boxship.waiting import to_the_end
from boxship.waiting.together import together

IGNORE_BYTES = 1 << 20
log = logging.getLogger(__name__)

DEFINITION = "[internal] load build definition from "
FRONTENDS = ("docker/dockerfile", "docker/dockerfile-upstream")
BUILT_IN = "dockerfile.v0"  # as BUILDKIT_SYNTAX: whatever the file says, the frontend that is built in
EPOCH_LIMIT = 1 << 35  # seconds: beyond every date that a tar can hold
REMOTE = "[internal] load remote build context "
METADATA = "[internal] load metadata for "

T = TypeVar("T")


class Build:
    """One build. `run` once."""

    def __init__(
        self,
        request: BuildRequest,
        workshop: Workshop,
        loader: Loader,
        exporter: Exporter,
        exchange: Exchange,
        channel: Channel,
        agents: Agents | None,
        fresh: str,
    ) -> None:
        self._request = request
        self._workshop = workshop
        self._loader = loader
        self._exporter = exporter
        self._exchange = exchange
        self._channel = channel
        self._agents = agents
        self._fresh = fresh
        self._lines: tuple[str, ...] = ()

    async def run(self) -> None:
        """Carry the build out. Raises BuildFailed, or other kinds for a request that no Dockerfile explains."""
        async with self._workshop.garbage.lease() as lease:
            try:
                if self._request.remote:
                    await self._internal(f"{REMOTE}{without_password(self._request.remote)}", self._fetch())
                dockerfile = await self._internal(f"{DEFINITION}{self._request.dockerfile}", self._read())
                if self._request.checks_only:
                    await self._checked(dockerfile)
                else:
                    await self._solved(await self._planned(dockerfile, lease), lease)
            except Failure as failure:
                raise self._failed(failure.reason, failure.instruction.location) from failure
            except DockerfileError as error:
                reason = f"dockerfile parse error on line {error.location.first}: {error.reason}"
                raise self._failed(Invalid(reason), error.location) from error
            except StepError as error:
                raise self._failed(error.reason, error.step.location, error.step.id, error.step.command) from error
            finally:
                await to_the_end(self._end())

    async def _end(self) -> None:
        await self._loader.close()
        try:
            await self._workshop.cache.flush()
        except BoxshipError as error:  # when something was last used is worth no failure
            log.warning("cannot write down what was used: %s", error)

    async def _fetch(self) -> None:
        """The context from elsewhere."""
        found = await self._loader.remote(self._request.remote)
        if isinstance(found, bytes):
            self._request = msgspec.structs.replace(self._request, dockerfile_text=found)
        else:
            self._request = msgspec.structs.replace(self._request, context=found)

    def _failed(
        self, reason: BoxshipError, location: Location | None, step: str = "", command: str = ""
    ) -> BuildFailed:
        text, code = str(reason), 0
        if isinstance(reason, DockerfileError):
            text = reason.reason
        elif isinstance(reason, StepFailed):
            code = reason.code
        return BuildFailed(text, step=step, code=code, command=command, location=location, lines=self._lines)

    async def _internal(self, name: str, work: Awaitable[T]) -> T:
        """Something that no instruction asks for, shown as a step."""
        began = time.monotonic()
        self._channel.tell(StepStarted(name, name))
        try:
            result = await work
        except asyncio.CancelledError:
            self._channel.tell(StepFinished(name, seconds=time.monotonic() - began, error="canceled"))
            raise
        except BoxshipError as error:
            self._channel.tell(StepFinished(name, seconds=time.monotonic() - began, error=str(error)))
            raise
        self._channel.tell(StepFinished(name, seconds=time.monotonic() - began))
        return result

    async def _read(self) -> Dockerfile:
        """The Dockerfile, and the request completed by what stands beside it."""
        request, executor = self._request, self._workshop.executor
        data = request.dockerfile_text
        context = request.context
        if data is None:
            if context is None:
                raise Invalid("cannot build: there is neither a context nor a Dockerfile")
            data = await read_dockerfile(executor, context, request.dockerfile)
        self._lines = tuple(line.rstrip("\r") for line in data.decode(errors="replace").split("\n"))
        dockerfile = await asyncio.to_thread(parse, data, request.dockerfile)
        check_frontend(dockerfile, request)
        if context is not None:
            found = await with_patterns(executor, context, (f"{request.dockerfile}.dockerignore", ".dockerignore"))
            request = msgspec.structs.replace(request, context=found)
        for name, tree in request.contexts.items():
            if isinstance(tree, FolderTree):
                found = await with_patterns(executor, tree, (".dockerignore",))
                request = msgspec.structs.replace(request, contexts={**request.contexts, name: found})
        if request.epoch is None and (text := request.arguments.get(EPOCH)):
            request = msgspec.structs.replace(request, epoch=epoch_of(text))
        self._request = request
        self._loader.use(request)
        return dockerfile

    async def _planned(self, dockerfile: Dockerfile, lease: Lease) -> Graph:
        """The graph, once every base image is known."""
        host = platforms.host()
        known: dict[ImageSource, Base] = {}
        while missing := await asyncio.to_thread(missing_bases, dockerfile, self._request, host, known):
            places = await asyncio.to_thread(base_images, dockerfile, self._request, host, known)
            found = await together(self._base(source, lease, _place(dockerfile, places, source)) for source in missing)
            known |= dict(zip(missing, found, strict=True))
        await self._check(dockerfile, known)
        offers = self._agents.offers if self._agents is not None else _offers_nothing
        graph = await asyncio.to_thread(plan, dockerfile, self._request, host, known, offers)
        self._channel.tell(Planned(tuple(started(step) for step in graph.steps.values())))
        if graph.unused:
            self._warn(f"One or more build-args [{' '.join(graph.unused)}] were not consumed")
        return graph

    async def _checked(self, dockerfile: Dockerfile) -> None:
        """Check alone: nothing is built and nothing pulled."""
        missing = await asyncio.to_thread(missing_bases, dockerfile, self._request, platforms.host(), {})
        images = {source: await self._loader.local(source) for source in missing}
        known = {source: base_of(image) for source, image in images.items() if image is not None}
        await self._check(dockerfile, known)
        self._channel.tell(Built())

    async def _check(self, dockerfile: Dockerfile, known: dict[ImageSource, Base]) -> None:
        """Tell what the checks find."""
        placed = await asyncio.to_thread(base_images, dockerfile, self._request, platforms.host(), known)
        findings = await asyncio.to_thread(findings_of, dockerfile, self._request, placed, known)
        for finding in findings:
            self._channel.tell(Noticed(finding))
        refuse(dockerfile, self._request, findings)

    async def _base(self, source: ImageSource, lease: Lease, location: Location) -> Base:
        """What a FROM names. Raises BuildFailed."""
        name = METADATA + image_name(source)
        try:
            found = self._loader.image(source, progress_of(name, self._channel.tell), lease)
            return base_of(await self._internal(name, found))
        except BoxshipError as error:
            raise self._failed(error, location, name) from error

    async def _imports(self) -> Imports:
        """The caches that were given; one that cannot be read is told and left out."""
        imports = Imports()
        for end in self._request.cache_from:
            name = f"importing cache manifest from {describe(end)}"
            try:
                source = await self._exchange.source(end, self._request)
                await self._internal(name, imports.add(source))
            except BoxshipError as error:
                self._warn(f"cannot import the cache {describe(end)}: {error}")
        return imports

    async def _cache_to(self, end: CacheEnd, graph: Graph, results: dict[str, Result], lease: Lease) -> None:
        name = f"exporting cache to {end.kind} {describe(end)}"
        try:
            await self._internal(name, self._exchange.export(end, self._request, graph, results, lease))
        except BoxshipError as error:
            if end.attributes.get("ignore-error") not in TRUE:
                raise
            self._warn(f"cannot export the cache {describe(end)}: {error}")

    def _warn(self, text: str) -> None:
        """A warning of the build itself."""
        place = Location(self._request.dockerfile, 1, 1)
        self._channel.tell(Noticed(Finding("", text, place)))

    async def _solved(self, graph: Graph, lease: Lease) -> None:
        request = self._request
        solver = Solver(
            graph,
            self._workshop,
            self._loader,
            lease,
            self._channel.tell,
            agents=self._agents,
            imports=await self._imports(),
            name=request.tags[0] if request.tags else "",
            fresh=self._fresh,
        )
        try:
            results = await solver.solve()
            inline = inline_cache([results[step.id] for step in graph.lineage()]) if wants_inline(request) else None
            composed = compose(graph, results, request, inline)
            exported = await self._exporter.export(request, composed, self._channel, lease, self._internal)
            for end in request.cache_to:
                if end.kind != "inline":
                    await self._cache_to(end, graph, results, lease)
        finally:
            self._workshop.cache.let_go(solver.held)
        counted = [step.id for step in graph.steps.values() if step.number]
        cached = sum(results[name].cached for name in counted)
        self._channel.tell(msgspec.structs.replace(exported, steps=len(counted), cached=cached))


def _place(dockerfile: Dockerfile, places: Mapping[int, ImageSource], source: ImageSource) -> Location:
    """The first FROM that needs an image."""
    index = next(index for index, found in places.items() if found == source)
    return dockerfile.stages[index].origin.location


def describe(end: CacheEnd) -> str:
    """A cache elsewhere, for people."""
    return next((end.attributes[name] for name in ("ref", "src", "dest") if name in end.attributes), end.kind)


def base_of(image: Image) -> Base:
    """What a plan needs to know of an image."""
    digest = next((known.rpartition("@")[2] for known in image.digests), "")
    config = image.config
    platform = platforms.normalise(Platform(config.architecture, config.os, config.variant))
    return Base(config.config or ExecutionConfig(), digest, config.author, platform)


def _offers_nothing(identifier: str) -> bool:
    return False


async def read_dockerfile(executor: Executor, context: FolderTree, path: str) -> bytes:
    """The Dockerfile of a context, also where .dockerignore leaves it out. Raises Invalid."""
    try:
        return await executor.read(msgspec.structs.replace(context, patterns=()), path, DOCKERFILE_BYTES)
    except NotFound:
        raise Invalid(f"failed to read dockerfile: open {path}: no such file or directory") from None


async def with_patterns(executor: Executor, context: FolderTree, paths: tuple[str, ...]) -> FolderTree:
    """A context with the lines of the first of these files that it has, where nobody gave it any."""
    if context.patterns:
        return context
    for path in paths:
        try:
            data = await executor.read(context, path, IGNORE_BYTES)
        except NotFound:
            continue
        return msgspec.structs.replace(context, patterns=tuple(lines_of(data)))
    return context


def check_frontend(dockerfile: Dockerfile, request: BuildRequest) -> None:
    """Refuse other languages than the Dockerfile's own, and builds for several platforms. Raises Unsupported."""
    asked = request.arguments.get("BUILDKIT_SYNTAX") or dockerfile.directives.get("syntax", "")
    name = asked.split()[0].partition("@")[0].removeprefix("docker.io/") if asked.split() else FRONTENDS[0]
    if asked != BUILT_IN and name.partition(":")[0] not in FRONTENDS:
        raise Unsupported(f"unsupported: Dockerfile syntax {asked}")
    if (request.arguments.get("BUILDKIT_MULTI_PLATFORM") or "0") in ("1", "true"):
        raise Unsupported("unsupported: BUILDKIT_MULTI_PLATFORM")


def epoch_of(text: str) -> int:
    """SOURCE_DATE_EPOCH. Raises Invalid."""
    try:
        epoch = int(text)
    except ValueError:
        raise Invalid(f"invalid SOURCE_DATE_EPOCH: {text}") from None
    if not 0 <= epoch < EPOCH_LIMIT:
        raise Invalid(f"invalid SOURCE_DATE_EPOCH: {text}")
    return epoch
