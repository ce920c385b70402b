"""`down`: containers, networks and, on wish, volumes and images of a project go; what others use stays, and is said."""

from __future__ import annotations

from boxship.compose.model import Project
from boxship.compose.planning.actions import (
    Pass,
    Plan,
    RemoveContainer,
    RemoveImage,
    RemoveNetwork,
    RemoveVolume,
    StopContainer,
)
from boxship.compose.planning.drafting import Draft
from boxship.compose.planning.matching import LIVE, orphans
from boxship.compose.planning.naming import image_of
from boxship.compose.planning.observed import Observed, SeenContainer
from boxship.compose.planning.options import DownOptions
from boxship.compose.planning.selecting import dependents, named, ordered
from boxship.errors import Invalid


def down(project: Project, observed: Observed, options: DownOptions) -> Plan:
    """Take the project down, dependents first. With names of services: only their containers."""
    if options.images not in ("", "local", "all"):
        raise Invalid(f'invalid value for --rmi: "{options.images}"')
    chosen = named(project, options.services)
    draft = Draft()
    orphaned = {seen.id for seen in orphans(project, observed) if seen.service not in chosen}
    steps: dict[str, list[int]] = {}
    for name in reversed(ordered(chosen)):
        after = [step for other in dependents(chosen, name) for step in steps.get(other, ())]
        mine = [seen for seen in observed.containers if seen.service == name and seen.id not in orphaned]
        steps[name] = [remove(draft, seen, after, options.timeout, volumes=options.volumes) for seen in mine] or after
    gone = {seen.id for seen in observed.containers if seen.service in chosen and seen.id not in orphaned}
    if options.remove_orphans:
        steps["\0orphans"] = [
            remove(draft, seen, (), options.timeout, "orphan", volumes=options.volumes)
            for seen in observed.containers
            if seen.id in orphaned
        ]
        gone |= orphaned
    everything = [step for found in steps.values() for step in found]
    if not options.services:
        _networks(draft, project, observed, gone, everything)
        if options.volumes:
            _volumes(draft, project, observed, gone, everything)
    if options.images:
        _images(draft, project, observed, options, list(chosen), everything)
    if not draft.steps:
        draft.warn(f"No resource found to remove for project {project.name!r}.".replace("'", '"'))
    return draft.plan()


def remove(
    draft: Draft,
    seen: SeenContainer,
    after: list[int] | tuple[int, ...],
    seconds: float | None,
    reason: str = "",
    *,
    volumes: bool = False,
) -> int:
    """Stop and remove one container, with `volumes` its anonymous ones too; the number of the last step."""
    needed = tuple(after)
    if seen.state in LIVE:
        stop = StopContainer(service=seen.service, container=seen.id, name=seen.name, seconds=seconds)
        needed = (draft.add(stop, needed, reason),)
    action = RemoveContainer(service=seen.service, container=seen.id, name=seen.name, volumes=volumes, force=True)
    return draft.add(action, needed, reason)


def _networks(draft: Draft, project: Project, observed: Observed, gone: set[str], after: list[int]) -> None:
    external = {network.name for network in project.networks.values() if network.external}
    ours = {network.name for network in project.networks.values()}
    for seen in observed.networks:
        if seen.name in external or not (seen.key or seen.name in ours):
            continue
        if set(seen.containers) - gone:
            draft.warn(f"Network {seen.name}: Resource is still in use")
            draft.add(Pass(name=seen.name, text="Resource is still in use", kind="Network"), after)
        else:
            draft.add(RemoveNetwork(id=seen.id, name=seen.name), after)


def _volumes(draft: Draft, project: Project, observed: Observed, gone: set[str], after: list[int]) -> None:
    external = {volume.name for volume in project.volumes.values() if volume.external}
    ours = {volume.name for volume in project.volumes.values()}
    used = {name for seen in observed.containers if seen.id not in gone for name in seen.volumes.values()}
    for seen in observed.volumes:
        if seen.name in external or not (seen.key or seen.name in ours):
            continue
        if seen.name in used:
            draft.warn(f"Volume {seen.name}: Resource is still in use")
            draft.add(Pass(name=seen.name, text="Resource is still in use", kind="Volume"), after)
        else:
            draft.add(RemoveVolume(name=seen.name), after)


def _images(
    draft: Draft, project: Project, observed: Observed, options: DownOptions, names: list[str], after: list[int]
) -> None:
    """`local`: what was built under no name of its own. One that is still used is left, with a warning."""
    services = {**project.disabled, **project.services}
    wanted = {
        image_of(project, services[name]): name for name in names if options.images == "all" or not services[name].image
    }
    for image, name in wanted.items():
        if image in observed.images:
            draft.add(RemoveImage(service=name, image=image), after, optional=True)
