"""Containers as nouns: create, list, inspect, rename, update, remove, prune."""

import asyncio
from collections.abc import Callable

from boxship.doors.docker.bodies import ContainerBody, UpdateBody
from boxship.doors.docker.call import Call, no_content, reply
from boxship.doors.docker.container_json import group_json, inspect_json, networks_of, summary_json
from boxship.doors.docker.create_body import container_spec, port_range, resources, restart_policy, spec_is_empty
from boxship.doors.docker.filters import Filters, parse_filters
from boxship.doors.docker.router import Route
from boxship.doors.docker.texts import STATES, health_word, state_word
from boxship.engine.clock import SystemClock
from boxship.engine.groups import group_of
from boxship.engine.model import Container
from boxship.errors import BoxshipError, Invalid, Unsupported
from boxship.transport.exchange import Reply

LIST_FILTERS = (
    "ancestor",
    "before",
    "expose",
    "exited",
    "health",
    "id",
    "isolation",
    "is-task",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
)
PRUNE_FILTERS = ("label", "label!", "until")
HEALTH_WORDS = ("none", "starting", "healthy", "unhealthy")
CLOCK = SystemClock()


async def create(call: Call) -> Reply:
    body = await call.body(ContainerBody)
    if spec_is_empty(body):
        raise Invalid("config cannot be empty in order to create a container")
    spec = container_spec(body, call.text("platform"))
    container, warnings = await call.engine.containers.create(spec, call.text("name") or None)
    return reply({"Id": container.id, "Warnings": list(warnings)}, 201)


async def inspect(call: Call) -> Reply:
    container = call.engine.containers.get(call.id)
    sizes = await call.engine.files.sizes(container.id) if call.flag("size") else None
    shown = inspect_json(container, call.version, call.engine.execs.of(container.id), sizes)
    membership = call.engine.groups.membership(container) if group_of(container) else None
    return reply(shown | {"Boxship": {"Group": group_json(membership)}} if membership else shown)


async def rename(call: Call) -> Reply:
    await call.engine.containers.rename(call.id, call.text("name"))
    return no_content()


async def update(call: Call) -> Reply:
    body = await call.body(UpdateBody)
    for name, given in (("CgroupParent", body.cgroup_parent), ("Devices", body.devices), ("Ulimits", body.ulimits)):
        if given:
            raise Unsupported(f"unsupported: {name} of a container that exists")
    changes = resources(body)
    restart = restart_policy(body.restart_policy) if body.restart_policy and body.restart_policy.name else None
    warnings = await call.engine.containers.update(call.id, changes, restart)
    return reply({"Warnings": list(warnings) or None})


async def remove(call: Call) -> Reply:
    if call.flag("link"):
        raise Unsupported("unsupported: query parameter link")
    await call.engine.containers.remove(call.id, force=call.flag("force"), volumes=call.flag("v"))
    return no_content()


async def prune(call: Call) -> Reply:
    filters = parse_filters(call.text("filters"), PRUNE_FILTERS)
    until = filters.until(CLOCK)

    def keep(container: Container) -> bool:
        return not filters.labels(container.labels) or bool(until and container.created_at > until)

    removed, freed = await call.engine.containers.prune(keep)
    return reply({"ContainersDeleted": removed or None, "SpaceReclaimed": freed})


async def listed(call: Call) -> Reply:
    filters = parse_filters(call.text("filters"), LIST_FILTERS)
    limit = call.number("limit") or 0
    everyone = call.flag("all") or limit > 0 or "status" in filters
    if limit <= 0 and not call.flag("all") and call.text("before") + call.text("since"):
        everyone = True
    wanted = await selector(call, filters)
    found = []
    for container in call.engine.containers.list():
        if not everyone and state_word(container) not in ("running", "paused", "restarting"):
            continue
        if wanted(container):
            found.append(container)
            if 0 < limit <= len(found):
                break
    names = ImageNames(call)
    now = CLOCK.now()
    shown = []
    for index, container in enumerate(found):
        sizes = await call.engine.files.sizes(container.id) if call.flag("size") else None
        shown.append(summary_json(container, call.version, now, await names.of(container), sizes))
        if index % 50 == 49:
            await asyncio.sleep(0)  # a long list must not hold the others up
    return reply(shown)


class ImageNames:
    """How containers' images are called now: as the user named them, or by id where that name went elsewhere."""

    def __init__(self, call: Call) -> None:
        self._images = call.engine.images
        self._ids: dict[str, str] = {}

    async def of(self, container: Container) -> str:
        name = container.spec.image
        if name not in self._ids:
            try:
                self._ids[name] = (await self._images.resolve(name)).id
            except BoxshipError:
                self._ids[name] = ""
        return name if self._ids[name] == container.image_id else container.image_id


async def selector(call: Call, filters: Filters) -> Callable[[Container], bool]:
    """A test by all filters of `GET /containers/json`. Raises Invalid or NotFound for wrong values."""
    tests: list[Callable[[Container], bool]] = []
    statuses = filters.one_of("status", {*STATES.values()})
    health = filters.one_of("health", HEALTH_WORDS)
    filters.one_of("isolation", ("default", ""))
    exits = [_exit_code(value) for value in filters.get("exited")]
    task = filters.flag("is-task")
    if task:
        tests.append(lambda container: False)
    if statuses:
        tests.append(lambda container: state_word(container) in statuses)
    if health:
        tests.append(lambda container: health_word(container) in health)
    if exits:
        tests.append(lambda c: bool(c.state.finished_at) and state_word(c) == "exited" and c.state.exit_code in exits)
    for name in (*filters.get("before"), *filter(None, [call.text("before")])):
        limit = call.engine.containers.get(name).created_at
        tests.append(lambda container, limit=limit: container.created_at < limit)  # type: ignore[misc]  # a bound default
    for name in (*filters.get("since"), *filter(None, [call.text("since")])):
        limit = call.engine.containers.get(name).created_at
        tests.append(lambda container, limit=limit: container.created_at > limit)  # type: ignore[misc]  # a bound default
    for name in ("publish", "expose"):
        wanted = {port for value in filters.get(name) for port in _ports(name, value)}
        if wanted:
            ports = _published if name == "publish" else _exposed
            tests.append(lambda container, wanted=wanted, ports=ports: bool(wanted & ports(container)))  # type: ignore[misc]  # a bound default
    if "ancestor" in filters:
        ancestors = await _ancestors(call, filters.get("ancestor"))
        tests.append(lambda container: container.image_id in ancestors)
    if "network" in filters:
        networks = _network_names(call, filters.get("network"))
        tests.append(lambda container: not networks.isdisjoint(networks_of(container)))
    if "volume" in filters:
        volumes = set(filters.get("volume"))
        tests.append(lambda c: any({point.name, point.target, point.source} & volumes for point in c.mounts))
    tests.append(lambda container: filters.labels(container.labels))
    tests.append(lambda container: filters.like("id", container.id))
    tests.append(lambda container: filters.like("name", container.name, f"/{container.name}"))
    return lambda container: all(test(container) for test in tests)


def _exit_code(text: str) -> int:
    if not text.lstrip("-").isdecimal() or len(text) > 9:
        raise Invalid(f"invalid filter 'exited={text}'")
    return int(text)


def _ports(name: str, text: str) -> list[str]:
    try:
        first, last, protocol = port_range(text)
    except Invalid:
        raise Invalid(f"invalid filter '{name}={text}'") from None
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _published(container: Container) -> set[str]:
    shown = {f"{port.host_port}/{port.protocol}" for port in container.ports}
    return shown | {f"{port.container_port}/{port.protocol}" for port in container.ports}


def _exposed(container: Container) -> set[str]:
    return set(container.exposed_ports)


async def _ancestors(call: Call, names: list[str]) -> set[str]:
    """Ids of the named images, and of images whose layers continue theirs."""
    chosen = []
    for name in names:
        try:
            chosen.append(await call.engine.images.resolve(name))
        except BoxshipError:
            continue
    ids = {image.id for image in chosen}
    for image in await call.engine.images.list() if chosen else ():
        for parent in chosen:
            depth = len(parent.diff_ids)
            if depth and tuple(image.diff_ids[:depth]) == tuple(parent.diff_ids) and len(image.diff_ids) > depth:
                ids.add(image.id)
    return ids


def _network_names(call: Call, names: list[str]) -> set[str]:
    """Names and ids of the networks that the values name."""
    known = set(names)
    for name in names:
        try:
            network = call.engine.networks.get(name)
        except BoxshipError:
            continue
        known |= {network.name, network.id}
    return known


ROUTES = (
    Route("GET", "/containers/json", listed, query=("all", "limit", "size", "filters", "since", "before")),
    Route("POST", "/containers/create", create, query=("name", "platform")),
    Route("POST", "/containers/prune", prune, query=("filters",), minimum=(1, 25)),
    Route("GET", "/containers/{id}/json", inspect, query=("size",)),
    Route("POST", "/containers/{id}/rename", rename, query=("name",)),
    Route("POST", "/containers/{id}/update", update),
    Route("DELETE", "/containers/{id*}", remove, query=("v", "force", "link")),
)
