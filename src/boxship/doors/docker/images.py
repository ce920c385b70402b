"""Images: list, inspect, history, tag, remove, prune, import, load, save, commit. Pull and push are in `registries`."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

from boxship.doors.docker.bodies import ContainerBody
from boxship.doors.docker.call import Call, reply
from boxship.doors.docker.create_body import health, port_range, strings, words
from boxship.doors.docker.errors import JSON
from boxship.doors.docker.filters import Filters, moment_or_age, parse_filters
from boxship.doors.docker.image_json import inspect_json, labels_of, matches_reference, summary_json
from boxship.doors.docker.registries import check_source, error_line, platform_of, pull
from boxship.doors.docker.router import Route
from boxship.engine.clock import SystemClock
from boxship.engine.values import Image, LayerProgress, Loaded
from boxship.errors import Invalid
from boxship.spec.image import ExecutionConfig, ImageHealthCheck
from boxship.transport.exchange import Reply
from boxship.wire.ndjson import line

LIST_FILTERS = ("before", "dangling", "label", "label!", "reference", "since", "until")
PRUNE_FILTERS = ("dangling", "label", "label!", "until")
CLOCK = SystemClock()
CRLF = b"\r\n"

# docker-compose 1 takes the newest version that is offered, and reads what images have lost since: it cannot make a
# container anew without ContainerConfig. It is shown images as they were in the last version that had it.
COMPOSE_ONE = "docker-compose/1."
BEFORE_CHANGE = (1, 44)


async def listed(call: Call) -> Reply:
    filters = parse_filters(call.text("filters"), LIST_FILTERS)
    if call.text("filter"):  # until API 1.40
        filters = Filters({**{name: filters.get(name) for name in LIST_FILTERS}, "reference": [call.text("filter")]})
    wanted = await selector(call, filters)
    shared: dict[str, int] = {}
    if call.flag("shared-size"):
        shared = {image.id: size for image, _, size, _ in (await call.engine.system.usage()).images}
    shown = []
    for image in await call.engine.images.list():
        if not wanted(image):
            continue
        entry = summary_json(image, call.version, shared=shared.get(image.id, -1))
        patterns = filters.get("reference")
        if patterns:
            for field, names in (("RepoTags", image.references), ("RepoDigests", image.digests)):
                entry[field] = [name for name in names if any(matches_reference(p, name) for p in patterns)]
        shown.append(entry)
    return reply(shown)


async def selector(call: Call, filters: Filters) -> Callable[[Image], bool]:
    """A test by all filters of `GET /images/json`."""
    dangling = filters.flag("dangling")
    before = [(await call.engine.images.resolve(name)).created for name in filters.get("before")]
    since = [(await call.engine.images.resolve(name)).created for name in filters.get("since")]
    until = [moment_or_age(text, CLOCK) for text in filters.get("until")]
    patterns = filters.get("reference")

    def wanted(image: Image) -> bool:
        return (
            (dangling is None or dangling != bool(image.references))
            and all(image.created < moment for moment in before)
            and all(image.created > moment for moment in since)
            and all(image.created < moment for moment in until)
            and filters.labels(labels_of(image))
            and (
                not patterns
                or any(matches_reference(pattern, name) for pattern in patterns for name in names_of(image))
            )
        )

    return wanted


def names_of(image: Image) -> tuple[str, ...]:
    """Tags and digests."""
    return (*image.references, *image.digests)


async def inspect(call: Call) -> Reply:
    version = call.version
    if call.request.headers.get("User-Agent", "").startswith(COMPOSE_ONE):
        version = min(version, BEFORE_CHANGE)
    return reply(inspect_json(await call.engine.images.resolve(call.id), version))


async def history(call: Call) -> Reply:
    entries = await call.engine.images.history(call.id)
    shown = [
        {
            "Id": entry.id,
            "Created": entry.created // 1_000_000_000,
            "CreatedBy": entry.created_by,
            "Tags": list(entry.references) or None,
            "Size": entry.size,
            "Comment": entry.comment,
        }
        for entry in entries
    ]
    return reply(shown)


async def tag(call: Call) -> Reply:
    await call.engine.images.tag(call.id, reference_of(call, needed=True))
    return Reply(201)


def reference_of(call: Call, *, needed: bool = False) -> str:
    """ "repo:tag" of the parameters repo and tag; "" where no repo is given."""
    repository, name = call.text("repo"), call.text("tag")
    if not repository:
        if needed:
            raise Invalid("invalid reference format")
        return ""
    if name.startswith("sha256:"):
        raise Invalid("refusing to create a tag with a digest reference")
    return f"{repository}:{name}" if name else repository


async def remove(call: Call) -> Reply:
    steps = await call.engine.images.remove(call.id, force=call.flag("force"))  # untagged parents stay in any case
    return reply([{kind: what} for kind, what in steps])


async def prune(call: Call) -> Reply:
    filters = parse_filters(call.text("filters"), PRUNE_FILTERS)
    dangling = filters.flag("dangling")
    until = filters.until(CLOCK)

    def keep(image: Image) -> bool:
        return not filters.labels(labels_of(image)) or bool(until and image.created > until)

    steps, freed = await call.engine.images.prune(dangling=dangling is not False, keep=keep)
    return reply({"ImagesDeleted": [{kind: what} for kind, what in steps] or None, "SpaceReclaimed": freed})


async def load(call: Call) -> Reply:
    """200 at once; what goes wrong with the archive is told in the stream."""
    steps = call.engine.images.load(call.request.chunks(), platform=platform_of(call))
    return Reply(200, JSON, progress(call, steps, quiet=call.flag("quiet")))


async def progress(call: Call, steps: AsyncIterator[LayerProgress | Loaded], *, quiet: bool) -> AsyncIterator[bytes]:
    """A load's lines. What fails becomes the last of them."""
    try:
        async with contextlib.aclosing(cast("AsyncGenerator[LayerProgress | Loaded, None]", steps)) as progressing:
            async for step in progressing:
                for shown in [] if quiet and isinstance(step, LayerProgress) else step_lines(step):
                    yield line(shown, CRLF)
    except Exception as error:  # the border of a request, whose head has gone out: the client reads it in the body
        yield error_line(error, call.request)


def step_lines(step: LayerProgress | Loaded) -> list[dict[str, Any]]:
    """What the command line prints of a step."""
    if isinstance(step, LayerProgress):
        name = step.diff_id.removeprefix("sha256:")[:12]
        detail = {"current": step.size, "total": step.size}
        text = f"layer {step.current}/{step.total}"
        return [{"status": "Loading layer", "progressDetail": detail, "progress": text, "id": name}]
    replaced = [
        f"The image {name} already exists, renaming the old one with ID {old} to empty string"
        for name, old in step.replaced.items()
    ]
    loaded = [f"Loaded image: {name}" for name in step.references] or [f"Loaded image ID: {step.image_id}"]
    return [{"stream": f"{text}\n"} for text in (*replaced, *loaded)]


async def save_one(call: Call) -> Reply:
    return await saved(call, [call.id])


async def save(call: Call) -> Reply:
    names = [name for text in call.texts("names") for name in text.split(",") if name]
    if not names:
        raise Invalid("invalid parameter: names is empty")
    return await saved(call, names)


async def saved(call: Call, names: list[str]) -> Reply:
    archive = call.engine.images.save(names, platform=platform_of(call))
    return Reply(200, {"Content-Type": "application/x-tar"}, archive)


async def create(call: Call) -> Reply:
    """A pull (`fromImage`) or an import (`fromSrc`: - for the body, or an address)."""
    if call.text("fromImage"):
        return await pull(call)
    source = call.text("fromSrc")
    if not source:
        raise Invalid("invalid parameter: neither fromImage nor fromSrc is given")
    check_source(source)
    if source != "-":
        return await import_from(call, source)
    identifier = await call.engine.images.import_(
        call.request.chunks(),
        reference=reference_of(call),
        changes=call.texts("changes"),
        message=call.text("message"),
        platform=platform_of(call),
    )
    return Reply(200, JSON, line({"status": identifier}, CRLF))


async def import_from(call: Call, source: str) -> Reply:
    """An import from an address: the address, then the image's id or the error."""

    async def lines() -> AsyncIterator[bytes]:
        yield line({"status": f"Downloading from {source}"}, CRLF)
        try:
            identifier = await call.engine.images.import_(
                call.engine.images.download(source),
                reference=reference_of(call),
                changes=call.texts("changes"),
                message=call.text("message") or f"Imported from {source}",
                platform=platform_of(call),
            )
            yield line({"status": identifier}, CRLF)
        except Exception as error:  # the border of a request, whose head has gone out
            yield error_line(error, call.request)

    reference_of(call)
    return Reply(200, JSON, lines())


async def commit(call: Call) -> Reply:
    container = call.text("container")
    if not container:
        raise Invalid("missing required parameter 'container'")
    body = await call.body(ContainerBody, needed=False)
    identifier = await call.engine.committing.commit(
        container,
        reference=reference_of(call),
        comment=call.text("comment"),
        author=call.text("author"),
        pause=call.flag("pause", True),
        changes=[line_ for text in call.texts("changes") for line_ in text.split("\n") if line_.strip()],
        config=commit_config(body),
    )
    return reply({"Id": identifier}, 201)


def commit_config(body: ContainerBody) -> ExecutionConfig | None:
    """What a commit's body says about the image, or None where it says nothing."""
    check = health(body.healthcheck)
    ports = [port for text in body.exposed_ports or () for port in [text] if port_range(text)]
    config = ExecutionConfig(
        User=body.user,
        ExposedPorts={port: {} for port in ports} or None,
        Env=strings(body.env) or None,
        Entrypoint=words(body.entrypoint) or None,
        Cmd=words(body.cmd) or None,
        Volumes={target: {} for target in body.volumes or ()} or None,
        WorkingDir=body.working_dir,
        Labels=body.labels or None,
        StopSignal=body.stop_signal,
        Healthcheck=ImageHealthCheck(
            Test=check.test,
            Interval=check.interval,
            Timeout=check.timeout,
            StartPeriod=check.start_period,
            StartInterval=check.start_interval,
            Retries=check.retries,
        )
        if check is not None
        else None,
        Shell=words(body.shell) or None,
        OnBuild=tuple(body.on_build or ()) or None,
    )
    return None if config == ExecutionConfig() else config


ROUTES = (
    Route(
        "GET",
        "/images/json",
        listed,
        query=("all", "filters", "filter", "shared-size", "digests"),
        refused=("manifests",),
    ),
    Route("GET", "/images/get", save, query=("names", "platform")),
    Route(
        "POST",
        "/images/create",
        create,
        query=("fromImage", "fromSrc", "repo", "tag", "message", "changes", "platform"),
    ),
    Route("POST", "/images/load", load, query=("quiet", "platform")),
    Route("POST", "/images/prune", prune, query=("filters",), minimum=(1, 25)),
    Route("GET", "/images/{id*}/get", save_one, query=("platform",)),
    Route("GET", "/images/{id*}/history", history, refused=("platform",)),
    Route("GET", "/images/{id*}/json", inspect, refused=("manifests", "platform")),
    Route("POST", "/images/{id*}/tag", tag, query=("repo", "tag")),
    Route("DELETE", "/images/{id*}", remove, query=("force", "noprune"), refused=("platforms",)),
    Route(
        "POST",
        "/commit",
        commit,
        query=("container", "repo", "tag", "comment", "author", "pause", "changes"),
    ),
)
