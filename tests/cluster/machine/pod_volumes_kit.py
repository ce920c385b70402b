"""The volumes of one pod as the node agent makes them, for a machine in the test's own process; config maps and secrets
are given, there is no API."""

from collections.abc import Mapping, Sequence
from typing import Any

from machine_kit import Machine

from boxship.cluster.node.plan.facts import NodeFacts
from boxship.cluster.node.plan.mounting import mounts_of
from boxship.cluster.node.volumes.holding import HeldObjects
from boxship.cluster.node.volumes.preparing import NodeVolumes
from boxship.spec.container import MountRequest
from boxship.volumes.mountpoints import MountPoints


class Objects:
    """What there is, by resource and name. Takes the place of a client."""

    def __init__(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        self._found = found

    async def get(self, resource: str, namespace: str, name: str) -> Any:
        return self._found[resource][name]


def volumes_of(machine: Machine, found: Mapping[str, Mapping[str, Any]]) -> tuple[NodeVolumes, NodeFacts]:
    client: Any = Objects(found)
    facts = NodeFacts(node="one", root=machine.data / "pods", cgroup=machine.cgroup, memory_bytes=1 << 30)
    held = HeldObjects(client)
    return NodeVolumes(client, held, trees=machine.runtime, mounts=MountPoints(), facts=facts), facts


async def pod_mounts(machine: Machine, pod: Any, found: Mapping[str, Mapping[str, Any]]) -> Sequence[MountRequest]:
    """Make the pod's volumes; the mounts of its first container."""
    volumes, facts = volumes_of(machine, found)
    prepared = await volumes.prepare(pod)
    container = pod["spec"]["containers"][0]
    return await mounts_of(pod, container, prepared, {}, mounts=MountPoints(), facts=facts)


async def release(machine: Machine, uid: str) -> None:
    """Take the volumes of a pod away."""
    await volumes_of(machine, {})[0].release(uid)
