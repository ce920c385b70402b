"""Names and labels of what a project's parts become in the engine. Other programs that speak Compose use the same."""

from __future__ import annotations

import re

from boxship import __version__
from boxship.compose.hashing import grants_hash, network_hash, volume_hash
from boxship.compose.model import Project, Service
from boxship.compose.parts import Dependency
from boxship.compose.planning.observed import (
    LABEL_DEPENDS,
    LABEL_DIRECTORY,
    LABEL_FILES,
    LABEL_GRANTS,
    LABEL_GROUP,
    LABEL_HASH,
    LABEL_IMAGE,
    LABEL_NETWORK,
    LABEL_NUMBER,
    LABEL_ONE_OFF,
    LABEL_PROJECT,
    LABEL_REPLACE,
    LABEL_SERVICE,
    LABEL_VERSION,
    LABEL_VIRTUAL,
    LABEL_VOLUME,
    SeenContainer,
)

_TEMPORARY = re.compile(r"[0-9a-f]{12}_(.+)", re.S)


def image_of(project: Project, service: Service) -> str:
    """The image's name: its own, or the one that its build is given."""
    return service.image or f"{project.name}-{service.name}"


def container_name(project: Project, service: Service, number: int) -> str:
    return service.container_name or f"{project.name}-{service.name}-{number}"


def temporary_name(old: str, name: str) -> str:
    """The name of a new container while the one with the id `old` still has its own."""
    return f"{old[:12]}_{name}"


def final_name(name: str) -> str:
    """What a temporary name is to become; any other name itself."""
    found = _TEMPORARY.fullmatch(name)
    return found[1] if found else name


def is_temporary(container: SeenContainer) -> bool:
    """Whether a container was left in the middle of a replacement."""
    return _TEMPORARY.fullmatch(container.name) is not None


def depends_label(dependencies: dict[str, Dependency]) -> str:
    return ",".join(
        f"{name}:{dependency.condition}:{str(dependency.restart).lower()}" for name, dependency in dependencies.items()
    )


def parse_depends(text: str) -> dict[str, Dependency]:
    """The other way round; what cannot be read is left out."""
    result = {}
    for part in text.split(","):
        name, _, rest = part.partition(":")
        condition, _, restart = rest.partition(":")
        if name:
            result[name] = Dependency(condition=condition or "service_started", restart=restart == "true")
    return result


def container_labels(
    project: Project,
    service: Service,
    number: int,
    image_id: str,
    hash_: str,
    *,
    one_off: bool = False,
    replaces: str = "",
) -> dict[str, str]:
    """All labels of a container besides the service's own. One that runs once is in no group: it must not be handed
    the service's connections."""
    labels = {
        LABEL_PROJECT: project.name,
        LABEL_SERVICE: service.name,
        LABEL_NUMBER: str(number),
        LABEL_ONE_OFF: str(one_off),
        LABEL_HASH: hash_,
        LABEL_IMAGE: image_id,
        LABEL_DEPENDS: depends_label(dict(service.depends_on)),
        LABEL_DIRECTORY: project.directory,
        LABEL_FILES: ",".join(project.files),
        LABEL_VERSION: __version__,
    }
    grants = grants_hash(project, service)
    if grants:
        labels[LABEL_GRANTS] = grants
    if replaces:
        labels[LABEL_REPLACE] = replaces
    if not one_off and LABEL_GROUP not in service.labels:
        labels[LABEL_GROUP] = f"{project.name}/{service.name}"
    # Without a network of its own there is nothing in which an address could stand for it.
    virtual = service.deploy is not None and service.deploy.endpoint_mode == "vip" and bool(service.networks)
    if virtual and not one_off and LABEL_VIRTUAL not in service.labels:
        labels[LABEL_VIRTUAL] = service.name
    return labels


def network_labels(project: Project, key: str) -> dict[str, str]:
    return {
        LABEL_PROJECT: project.name,
        LABEL_NETWORK: key,
        LABEL_HASH: network_hash(project.networks[key]),
        LABEL_VERSION: __version__,
    }


def volume_labels(project: Project, key: str) -> dict[str, str]:
    return {
        LABEL_PROJECT: project.name,
        LABEL_VOLUME: key,
        LABEL_HASH: volume_hash(project.volumes[key]),
        LABEL_VERSION: __version__,
    }
