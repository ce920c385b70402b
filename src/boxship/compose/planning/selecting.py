"""Which services a verb is about, in which order, and what of a project can be known without its file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

from msgspec import structs

from boxship.compose.model import Network, Project, Service, Volume
from boxship.compose.parts import Dependency
from boxship.compose.planning.naming import image_of, parse_depends
from boxship.compose.planning.observed import LABEL_DEPENDS, Observed
from boxship.errors import Invalid


def named(project: Project, names: Iterable[str]) -> dict[str, Service]:
    """The services of these names, enabled or not; all enabled ones for none. Raises Invalid."""
    wanted = dict.fromkeys(names)
    if not wanted:
        return dict(project.services)
    everything = {**project.disabled, **project.services}
    for name in wanted:
        if name not in everything:
            near = difflib.get_close_matches(name, everything, 1)
            raise Invalid(f"no such service: {name}" + (f" (did you mean {near[0]}?)" if near else ""))
    return {name: everything[name] for name in everything if name in wanted}


def select(project: Project, names: Iterable[str], dependencies: bool = True) -> Project:
    """The project with only these services and, on wish, what they depend on. A service that is named is enabled, its
    profile or not; what it depends on must be enabled. Raises Invalid."""
    wanted = named(project, names)
    waiting = list(wanted)
    while waiting and dependencies:
        service = wanted[waiting.pop()]
        for name, dependency in service.depends_on.items():
            if name in wanted:
                continue
            if name in project.services:
                wanted[name] = project.services[name]
                waiting.append(name)
            elif dependency.required:
                raise Invalid(_missing(project, service.name, name))
    everything = {**project.disabled, **project.services}
    services = {name: _trimmed(wanted[name], wanted) for name in everything if name in wanted}
    return structs.replace(
        project,
        services=services,
        disabled={name: service for name, service in everything.items() if name not in services},
    )


def _missing(project: Project, service: str, dependency: str) -> str:
    disabled = project.disabled.get(dependency)
    if disabled is None:
        return f"service {service!r} depends on {dependency!r}, which does not exist"
    profiles = ", ".join(disabled.profiles)
    return f"service {service!r} depends on {dependency!r}, which is not enabled (profiles: {profiles})"


def _trimmed(service: Service, wanted: Mapping[str, Service]) -> Service:
    """The service with those dependencies alone that are there."""
    left = {name: dependency for name, dependency in service.depends_on.items() if name in wanted}
    return service if len(left) == len(service.depends_on) else structs.replace(service, depends_on=left)


def ordered(services: Mapping[str, Service]) -> tuple[str, ...]:
    """The names, each after those that it depends on, otherwise in the order of the file. A cycle raises Invalid."""
    done: dict[str, None] = {}
    for start in services:
        path: dict[str, Iterator[str]] = {}
        following: str | None = start
        while following is not None or path:
            if following in path:
                circle = [*list(path)[list(path).index(following) :], following]
                raise Invalid(f"dependency cycle detected: {' -> '.join(circle)}")
            if following is not None and following in services and following not in done:
                path[following] = iter(services[following].depends_on)
            if not path:
                break
            name, others = next(reversed(path.items()))
            following = next(others, None)
            if following is None:
                del path[name]
                done[name] = None
    return tuple(done)


def dependents(services: Mapping[str, Service], name: str) -> tuple[str, ...]:
    """Who depends on it directly."""
    return tuple(other.name for other in services.values() if name in other.depends_on)


def joined(service: Service) -> tuple[str, ...]:
    """The services whose very containers this one's are made from: shared namespaces and volumes."""
    modes = (service.network_mode, service.ipc, service.pid)
    names = [mode.removeprefix("service:") for mode in modes if mode.startswith("service:")]
    names += [source.split(":")[0] for source in service.volumes_from if not source.startswith("container:")]
    return tuple(dict.fromkeys(names))


def recovered(name: str, observed: Observed) -> Project:
    """The project as its containers, networks and volumes tell it, for when there is no file."""
    services: dict[str, Service] = {}
    for container in observed.containers:
        if container.service and container.service not in services:
            found = parse_depends(container.labels.get(LABEL_DEPENDS, ""))
            services[container.service] = Service(
                name=container.service, image=container.image_name, depends_on={**found}
            )
    known = set(services)
    for service in list(services.values()):
        left: dict[str, Dependency] = {key: value for key, value in service.depends_on.items() if key in known}
        services[service.name] = structs.replace(service, depends_on=left)
    return Project(
        name=name,
        services=services,
        networks={seen.key: Network(name=seen.name) for seen in observed.networks if seen.key},
        volumes={seen.key: Volume(name=seen.name) for seen in observed.volumes if seen.key},
    )


def looked_at(project: Project) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The names of images, networks and volumes that a plan wants to know of: what Host.observe is to be asked."""
    everything = (*project.services.values(), *project.disabled.values())
    return (
        tuple(dict.fromkeys(image_of(project, service) for service in everything)),
        tuple(dict.fromkeys(network.name for network in project.networks.values())),
        tuple(dict.fromkeys(volume.name for volume in project.volumes.values())),
    )
