"""What is known of the node that pods are planned for, and where the things of a pod lie. Values alone."""

from pathlib import Path

import msgspec

from boxship.cluster.objects import Object


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`root` is the folder of all pods (DATA/pods); sizes in bytes. The amounts are what the node can give to pods,
    `memory_capacity` is all that it has."""

    node: str
    root: Path
    cgroup: str  # of all pods of this instance, below the hierarchy's root: "boxship-pods-INSTANCE"
    network: str = "pods"
    domain: str = "cluster.local"
    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    cpu_milli: int = 0
    memory_bytes: int = 0
    storage_bytes: int = 0
    memory_capacity: int = 0
    resolv_conf: Path = Path("/etc/resolv.conf")
    handlers: tuple[str, ...] = ("", "crun", "runc")  # of runtime classes


def pod_folder(root: Path, uid: str) -> Path:
    return root / uid


def termination_file(root: Path, uid: str, container: str, attempt: int) -> Path:
    """The file that is mounted at a container's terminationMessagePath."""
    return root / uid / "containers" / container / str(attempt)


def shown(pod: Object) -> str:
    """A pod as messages name it."""
    metadata = pod["metadata"]
    return f"{metadata['name']}_{metadata.get('namespace', '')}({metadata.get('uid', '')})"


def container_named(pod: Object, name: str) -> Object:
    """One of the pod's containers of any sort. KeyError where it has none of that name."""
    spec = pod["spec"]
    for part in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(part) or ():
            if container["name"] == name:
                found: Object = container
                return found
    raise KeyError(name)


def local_volumes(root: Path) -> Path:
    """The folder of persistent volumes that are provisioned on this node: beside that of the pods."""
    return root.parent / "local-volumes"
