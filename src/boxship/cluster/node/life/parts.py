"""A pod's JSON and the runtime's containers, joined: each container of the pod with its runs. Pure."""

import hashlib
from collections.abc import Mapping, Sequence

from boxship.cluster.node.life.values import EPHEMERAL, INIT, MAIN, SIDECAR, Part
from boxship.cluster.node.runtime import ContainerStatus
from boxship.cluster.objects import Object

FIELDS = {
    "initContainers": "initContainerStatuses",
    "containers": "containerStatuses",
    "ephemeralContainers": "ephemeralContainerStatuses",
}


def parts_of(pod: Object, containers: Sequence[ContainerStatus]) -> tuple[Part, ...]:
    """In the order in which they begin: init containers and sidecars, then the others."""
    runs: dict[str, list[ContainerStatus]] = {}
    for container in sorted(containers, key=lambda one: (one.attempt, one.created_at), reverse=True):
        runs.setdefault(container.name, []).append(container)
    spec, status = pod["spec"], pod.get("status") or {}
    found = []
    for field, shown in FIELDS.items():
        known = {one["name"]: one for one in status.get(shown) or ()}
        for container in spec.get(field) or ():
            name = container["name"]
            kind = kind_of(field, container)
            found.append(Part(kind, name, container, tuple(runs.get(name, ())), known.get(name, {})))
    return tuple(found)


def kind_of(field: str, container: Object) -> str:
    if field == "initContainers":
        return SIDECAR if container.get("restartPolicy") == "Always" else INIT
    return MAIN if field == "containers" else EPHEMERAL


def container_named(pod: Object, name: str) -> Object:
    """One of the pod's containers of any kind. Raises KeyError."""
    for field in FIELDS:
        for container in pod["spec"].get(field) or ():
            if container["name"] == name:
                return dict(container)
    raise KeyError(name)


def path_of(pod: Object, name: str) -> str:
    """As events name a container: "spec.containers{web}"."""
    for field in FIELDS:
        if any(container["name"] == name for container in pod["spec"].get(field) or ()):
            return f"spec.{field}{{{name}}}"
    return ""


def hash_of(container: Object) -> str:
    """What a running container is restarted for when it changes: its image alone."""
    return hashlib.sha256(f"{container['name']}\0{container['image']}".encode()).hexdigest()[:16]


def grace_of(pod: Object) -> float:
    """Seconds that a pod has to end: what its deletion says, else what it says itself."""
    metadata, spec = pod["metadata"], pod["spec"]
    if metadata.get("deletionTimestamp") and metadata.get("deletionGracePeriodSeconds") is not None:
        return float(metadata["deletionGracePeriodSeconds"])
    given = spec.get("terminationGracePeriodSeconds")
    return 30.0 if given is None else float(given)


def label_of(pod: Object) -> str:
    """As messages of the original name a pod: NAME_NAMESPACE(UID)."""
    metadata: Mapping[str, str] = pod["metadata"]
    return f"{metadata['name']}_{metadata.get('namespace', '')}({metadata['uid']})"
