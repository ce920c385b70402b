"""What a new container needs to know of those that are there already."""

from __future__ import annotations

import json

from boxship.cli.composing.observing import seen_container
from boxship.cli.composing.reach import Reach
from boxship.cli.escape import escape, path_of
from boxship.compose.model import Project, Service
from boxship.compose.planning.naming import container_name
from boxship.compose.planning.observed import LABEL_PROJECT, LABEL_SERVICE

Containers = dict[str, tuple[tuple[str, str], ...]]


def named_services(service: Service) -> set[str]:
    """The services whose containers are named when this one's are made."""
    found = {text.partition(":")[0] for text in (*service.links, *service.volumes_from)}
    found |= {
        text.partition(":")[2]
        for text in (service.network_mode, service.ipc, service.pid)
        if text.startswith("service:")
    }
    return found - {"container"}


def service_containers(reach: Reach, project: Project, service: Service) -> Containers:
    """(id, name) of the containers of those services, by number."""
    found: Containers = {}
    for name in sorted(named_services(service)):
        labels = [f"{LABEL_PROJECT}={project.name}", f"{LABEL_SERVICE}={name}"]
        items = reach.daemon.get("/containers/json", {"all": True, "filters": json.dumps({"label": labels})})
        seen = [one for one in map(seen_container, items) if not one.one_off and one.state not in ("removing", "dead")]
        # The daemon lists the newest first: it is the one that stays, where another is being replaced by it.
        seen.sort(key=lambda one: one.number)
        found[name] = tuple((one.id, one.name) for one in seen)
    return found


def linked_names(project: Project, service: Service, containers: Containers) -> Containers:
    """Those of links by the names that they will have, where they are not there yet: the start looks them up."""
    found: Containers = {}
    for text in service.links:
        name = text.partition(":")[0]
        other = project.services.get(name)
        if other is not None and not containers.get(name):
            found[name] = tuple(("", container_name(project, other, number)) for number in range(1, other.replicas + 1))
    return found


def inherited_volumes(reach: Reach, service: Service, container: str) -> dict[str, str]:
    """path → volume of the anonymous volumes of the container before, where the service or its image has one too."""
    record = reach.daemon.get(f"/containers/{escape(container)}/json")
    image = reach.daemon.get(f"/images/{path_of(record['Image'])}/json") if record.get("Image") else {}
    wanted = set(((image.get("Config") or {}).get("Volumes")) or {})
    wanted |= {mount.target for mount in service.volumes if mount.type == "volume" and not mount.source}
    wanted -= {mount.target for mount in service.volumes if mount.source}
    return {
        mount["Destination"]: mount["Name"]
        for mount in record.get("Mounts") or []
        if mount.get("Type") == "volume" and mount["Destination"] in wanted
    }
