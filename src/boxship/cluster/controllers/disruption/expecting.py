"""How many pods there should be, by the scale of their controllers: a ReplicaSet's pods count for its Deployment, all
others for the controller itself, whatever kind it is."""

from collections.abc import Sequence

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.scaling import Scales
from boxship.cluster.controllers.workloads.pods import Pod, controller_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

REPLICA_SETS = ("apps", "ReplicaSet")
DEPLOYMENTS = ("apps", "Deployment")


class Uncountable(Exception):
    """Nobody knows how many pods there should be; the text says why."""


class Scale(msgspec.Struct, frozen=True):
    """Of one controller; it may belong to another one, which counts then."""

    uid: str
    replicas: int


class Expected(msgspec.Struct, frozen=True):
    count: int
    unmanaged: tuple[str, ...] = ()  # pods without a controller


async def expected_of(client: Client, scales: Scales, pods: Sequence[Pod]) -> Expected:
    """Raises Uncountable, Failure."""
    counted: dict[str, int] = {}
    seen: set[str] = set()
    unmanaged = []
    for pod in pods:
        owner = next((one for one in pod.owners if one.get("controller")), None)
        if owner is None:
            unmanaged.append(pod.name)
        elif owner["uid"] not in seen:
            seen.add(owner["uid"])
            scale = await _scale(client, scales, pod, owner)
            counted[scale.uid] = scale.replicas
    return Expected(sum(counted.values()), tuple(unmanaged))


async def _scale(client: Client, scales: Scales, pod: Pod, owner: Object) -> Scale:
    kind = (owner["apiVersion"].rpartition("/")[0], owner["kind"])
    try:
        if kind == REPLICA_SETS:
            found = await client.get("apps/v1/replicasets", pod.namespace, owner["name"])
            if found["metadata"]["uid"] == owner["uid"]:
                return await _of_set(client, pod, found)
        else:
            resource = scales.resource_of(owner["apiVersion"], owner["kind"])
            if resource is not None and "scale" not in resource.subresources:
                raise Uncountable(f"{resource.qualified} does not implement the scale subresource")
            if resource is not None:
                scale = await scales.read(resource, pod.namespace, owner["name"])
                if scale["metadata"].get("uid") == owner["uid"]:
                    return Scale(owner["uid"], (scale.get("spec") or {}).get("replicas") or 0)
    except Failure as failure:
        if failure.reason != "NotFound":
            raise
    raise Uncountable(f'found no controllers for pod "{pod.name}"')


async def _of_set(client: Client, pod: Pod, found: Object) -> Scale:
    owner = controller_of(found["metadata"].get("ownerReferences") or ())
    if owner is None or owner.kind != DEPLOYMENTS[1]:
        return Scale(found["metadata"]["uid"], _replicas(found))
    deployment = await client.get("apps/v1/deployments", pod.namespace, owner.name)
    if deployment["metadata"]["uid"] != owner.uid:
        raise Uncountable(f'found no controllers for pod "{pod.name}"')
    return Scale(owner.uid, _replicas(deployment))


def _replicas(object: Object) -> int:
    replicas = (object.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)
