"""The workloads of the simulated cluster: one of each kind, made and changed by chance, and whether each is as it was
asked for. All but the reading is pure."""

import random
from typing import TYPE_CHECKING, Any

from boxship.cluster.objects import Object

if TYPE_CHECKING:
    from boxship.main.simulating.world import World

KINDS = {
    "Deployment": "apps/v1/deployments",
    "StatefulSet": "apps/v1/statefulsets",
    "DaemonSet": "apps/v1/daemonsets",
    "Job": "batch/v1/jobs",
}
OVER = ("Succeeded", "Failed")
IMAGES = ("one:1", "two:2", "three:3")


def first(kind: str, chance: random.Random) -> Object:
    """As it is made."""
    name = kind.lower()
    labels = {"app": name}
    container: dict[str, Any] = {"name": "main", "image": IMAGES[0]}
    pod: dict[str, Any] = {"containers": [container], "terminationGracePeriodSeconds": chance.choice((1, 5))}
    spec: dict[str, Any] = {"template": {"metadata": {"labels": labels}, "spec": pod}}
    if kind == "Job":
        container["command"] = chance.choice((["sleep", "2"], ["sleep", "20"]))
        pod["restartPolicy"] = "OnFailure"
        spec |= {"completions": 4, "parallelism": 2, "backoffLimit": 1000}
    else:
        spec["selector"] = {"matchLabels": labels}
    if kind in ("Deployment", "StatefulSet"):
        spec["replicas"] = chance.randrange(1, 6)
    if kind == "Deployment":
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    if kind == "StatefulSet":
        spec |= {"serviceName": name, "podManagementPolicy": chance.choice(("OrderedReady", "Parallel"))}
    group = "batch/v1" if kind == "Job" else "apps/v1"
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def changed(kind: str, known: Object, chance: random.Random) -> Object:
    """As a user changes it: more, fewer, or another image."""
    spec = known["spec"]
    if kind == "Job":
        spec["parallelism"] = chance.randrange(1, 4)
    elif kind != "DaemonSet" and chance.random() < 0.5:
        spec["replicas"] = chance.randrange(0, 6)
    else:
        spec["template"]["spec"]["containers"][0]["image"] = chance.choice(IMAGES)
    return known


async def too_many(world: "World") -> list[str]:
    """Deployments whose sets were told to have more pods than there may be."""
    found = []
    for one in await world.all(KINDS["Deployment"]):
        sets = [each for each in await world.all("apps/v1/replicasets") if _is_of(each, one)]
        wanted = sum(each["spec"].get("replicas", 1) for each in sets)
        status = one.get("status") or {}
        most = max(one["spec"].get("replicas", 1), status.get("replicas") or 0) + 1
        if wanted > most and status.get("observedGeneration") == one["metadata"]["generation"]:
            found.append(f"deployment: {wanted} pods are wanted where {most} may be")
    return found


async def is_settled(world: "World", nodes: int) -> list[str]:
    """What is not yet as it should be."""
    left = []
    pods = await world.all("v1/pods")
    for kind, resource in KINDS.items():
        for one in await world.all(resource):
            status = one.get("status") or {}
            mine = [pod for pod in pods if pod["metadata"].get("labels", {}).get("app") == kind.lower()]
            if why := _unsettled(kind, one["spec"], status, one, mine, nodes):
                left.append(f"{kind.lower()} is not settled: {why}; {status}")
    return left


def _unsettled(kind: str, spec: Object, status: Object, one: Object, pods: list[Object], nodes: int) -> str:
    if kind == "Job":
        ended = any(each["type"] == "Complete" and each["status"] == "True" for each in status.get("conditions") or ())
        return "" if ended and status.get("succeeded") == spec["completions"] else "it is not complete"
    if status.get("observedGeneration") != one["metadata"]["generation"]:
        return "its controller has not seen it"
    living = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in OVER]
    wanted = nodes if kind == "DaemonSet" else spec["replicas"]
    image = spec["template"]["spec"]["containers"][0]["image"]
    if len(living) != wanted:
        return f"{len(living)} pods in place of {wanted}"
    if any(pod["spec"]["containers"][0]["image"] != image for pod in living):
        return f"not all pods are of {image}"
    ready = status.get("numberReady" if kind == "DaemonSet" else "readyReplicas") or 0
    return "" if ready == wanted else f"{ready} of {wanted} are ready"


def _is_of(each: Object, owner: Object) -> bool:
    owners = each["metadata"].get("ownerReferences") or ()
    return any(reference["uid"] == owner["metadata"]["uid"] for reference in owners)
