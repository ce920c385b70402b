"""Networks and volumes of a project: what must be there is checked before anything is touched, the rest is made."""

from __future__ import annotations

from msgspec import Struct, field

from boxship.compose.hashing import network_hash, volume_hash
from boxship.compose.model import Project
from boxship.compose.planning.actions import (
    CreateNetwork,
    CreateVolume,
    DisconnectNetwork,
    RemoveNetwork,
)
from boxship.compose.planning.drafting import Draft
from boxship.compose.planning.naming import network_labels, volume_labels
from boxship.compose.planning.observed import LABEL_PROJECT, Observed, SeenNetwork, SeenVolume
from boxship.errors import Conflict, NotFound, Unsupported


class Resources(Struct):
    """Which step makes which network and volume (by its key in the file), and the networks that are made again."""

    networks: dict[str, int] = field(default_factory=dict)
    volumes: dict[str, int] = field(default_factory=dict)
    renewed: dict[str, str] = field(default_factory=dict)  # key → the engine's name


def used_networks(project: Project) -> list[str]:
    """Keys of the networks that a service of the project is in, in the order of the file."""
    used = {key for service in project.services.values() for key in service.networks}
    return [key for key in project.networks if key in used]


def used_volumes(project: Project) -> list[str]:
    used = {
        mount.source
        for service in project.services.values()
        for mount in service.volumes
        if mount.type == "volume" and mount.source
    }
    return [key for key in project.volumes if key in used]


def check(project: Project, observed: Observed) -> None:
    """Everything that belongs to somebody else must be there, and have its right name. Raises NotFound, Conflict,
    Unsupported."""
    networks = {seen.name: seen for seen in observed.networks}
    volumes = {seen.name for seen in observed.volumes}
    for key in used_networks(project):
        network = project.networks[key]
        seen = networks.get(network.name)
        if network.external and seen is None and network.name not in ("host", "none", "bridge"):
            reason = f"network {network.name} declared as external, but could not be found"
            raise NotFound(project.placed(f"networks.{key}", reason))
        if not network.external and seen is not None and seen.key != key and seen.labels.get(LABEL_PROJECT):
            raise Conflict(
                f"network {network.name} was found but has incorrect label com.docker.compose.network set to "
                f'"{seen.key}" (expected: "{key}")'
            )
        if seen is not None and not network.external and _changed(project, key, seen):
            strangers = set(seen.containers) - {container.id for container in observed.containers}
            if strangers:
                raise Conflict(
                    f"cannot change network {network.name}: containers outside of the project use it: "
                    + ", ".join(sorted(name[:12] for name in strangers))
                )
    for key in used_volumes(project):
        volume = project.volumes[key]
        if volume.external and volume.name not in volumes:
            raise NotFound(project.placed(f"volumes.{key}", f'external volume "{volume.name}" not found'))
    for service in project.services.values():
        for kind, grants, known in (
            ("secret", service.secrets, project.secrets),
            ("config", service.configs, project.configs),
        ):
            for grant in grants:
                material = known.get(grant.source)
                if material is not None and material.external:
                    raise Unsupported(f"unsupported: external {kind} {grant.source}")


def provide(draft: Draft, project: Project, observed: Observed) -> Resources:
    """Steps for what the project's services need and is not there, or is not as the file says."""
    result = Resources()
    networks = {seen.name: seen for seen in observed.networks}
    for key in used_networks(project):
        network = project.networks[key]
        seen = networks.get(network.name)
        if network.external:
            continue
        after: tuple[int, ...] = ()
        reason = ""
        if seen is not None:
            _warn_network(draft, project, seen)
            if not _changed(project, key, seen):
                continue
            after, reason = _take_away(draft, seen, observed), "configuration changed"
            result.renewed[key] = network.name
        action = CreateNetwork(key=key, name=network.name, labels=network_labels(project, key))
        result.networks[key] = draft.add(action, after, reason)
    volumes = {seen.name: seen for seen in observed.volumes}
    for key in used_volumes(project):
        volume = project.volumes[key]
        if volume.external:
            continue
        there = volumes.get(volume.name)
        if there is not None:
            _warn_volume(draft, project, key, there)
        else:
            action_ = CreateVolume(key=key, name=volume.name, labels=volume_labels(project, key))
            result.volumes[key] = draft.add(action_)
    return result


def _changed(project: Project, key: str, seen: SeenNetwork) -> bool:
    """Whether the project's own network is another than the file says. Others' are never touched."""
    own = seen.key == key and seen.labels.get(LABEL_PROJECT) == project.name
    return own and bool(seen.hash) and seen.hash != network_hash(project.networks[key])


def _take_away(draft: Draft, seen: SeenNetwork, observed: Observed) -> tuple[int, ...]:
    """A network that is to be made again: its containers leave it, running or not, and it goes."""
    gone = []
    for container in observed.containers:
        if container.id in seen.containers or seen.name in container.networks:
            leave = DisconnectNetwork(
                service=container.service, container=container.id, name=container.name, network=seen.name
            )
            gone.append(draft.add(leave, (), f"network {seen.name} changed"))
    return (draft.add(RemoveNetwork(id=seen.id, name=seen.name), gone, "configuration changed"),)


def _warn_network(draft: Draft, project: Project, seen: SeenNetwork) -> None:
    owner = seen.labels.get(LABEL_PROJECT)
    if not owner:
        draft.warn(
            f"a network with name {seen.name} exists but was not created by compose. "
            "Set `external: true` to use an existing network"
        )
    elif owner != project.name:
        draft.warn(
            f'a network with name {seen.name} exists but was not created for project "{project.name}". '
            "Set `external: true` to use an existing network"
        )


def _warn_volume(draft: Draft, project: Project, key: str, seen: SeenVolume) -> None:
    owner = seen.labels.get(LABEL_PROJECT)
    if not owner:
        draft.warn(
            f'volume "{seen.name}" already exists but was not created by Docker Compose. '
            "Use `external: true` to use an existing volume"
        )
    elif owner != project.name:
        draft.warn(
            f'volume "{seen.name}" already exists but was created for project "{owner}" (expected "{project.name}"). '
            "Use `external: true` to use an existing volume"
        )
    elif seen.hash and seen.hash != volume_hash(project.volumes[key]):
        draft.warn(
            f'volume "{seen.name}" exists but does not match the configuration in the file. It is used as it is: '
            f"remove it to have it made again"
        )
