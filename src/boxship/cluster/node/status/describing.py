"""What the API is told of the node: facts and usage become the fields of its Node object. Pure.

Source: documentation "Nodes" (status), "Reserve Compute Resources for System Daemons"; API reference NodeStatus.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from boxship.cluster.node.runtime import ImageStatus, MachineUsage
from boxship.cluster.node.status.facts import VERSION, NodeFacts
from boxship.cluster.objects import Object, quantity, times

ADDRESS = "boxship.io/agent-address"
IMAGES_LIMIT, NAMES_LIMIT = 50, 5
PRESSURES = {
    "MemoryPressure": (
        "KubeletHasSufficientMemory",
        "kubelet has sufficient memory available",
        "KubeletHasInsufficientMemory",
        "kubelet has insufficient memory available",
    ),
    "DiskPressure": (
        "KubeletHasNoDiskPressure",
        "kubelet has no disk pressure",
        "KubeletHasDiskPressure",
        "kubelet has disk pressure",
    ),
    "PIDPressure": (
        "KubeletHasSufficientPID",
        "kubelet has sufficient PID available",
        "KubeletHasInsufficientPID",
        "kubelet has insufficient PID available",
    ),
}
READY = ("KubeletReady", "kubelet is posting ready status")
NOT_READY = "KubeletNotReady"


def stamp(now: float) -> str:
    return times.stamp(datetime.fromtimestamp(now, UTC))


def labels_of(facts: NodeFacts) -> dict[str, str]:
    architecture = facts.machine.architecture
    return {
        "kubernetes.io/hostname": facts.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": architecture,
        **facts.labels,
    }


def annotations_of(facts: NodeFacts) -> dict[str, str]:
    own = {ADDRESS: facts.agent_address} if facts.agent_address else {}
    return {"volumes.kubernetes.io/controller-managed-attach-detach": "true", **own, **facts.annotations}


def first_node(facts: NodeFacts, now: float) -> Object:
    """As a node registers itself: it is not ready before its network is."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": facts.name, "labels": labels_of(facts), "annotations": annotations_of(facts)},
        "spec": {"taints": [dict(taint) for taint in facts.taints]} if facts.taints else {},
        "status": node_status(facts, {}, now, problem="container runtime network not ready"),
    }


def missing_metadata(node: Object, facts: NodeFacts) -> Object | None:
    """A merge patch that makes labels and annotations what they should be; others' stay. None: they are."""
    metadata = node["metadata"]
    changed: dict[str, Any] = {}
    for key, wanted in (("labels", labels_of(facts)), ("annotations", annotations_of(facts))):
        had = metadata.get(key) or {}
        more: dict[str, Any] = {name: text for name, text in wanted.items() if had.get(name) != text}
        if key == "annotations" and ADDRESS in had and ADDRESS not in wanted:
            more[ADDRESS] = None
        if more:
            changed[key] = more
    return {"metadata": changed} if changed else None


def capacity_of(facts: NodeFacts, usage: MachineUsage | None) -> dict[str, str]:
    memory = usage.memory_capacity if usage is not None and usage.memory_capacity else facts.machine.memory
    found = {
        "cpu": str(facts.machine.cpus),
        "ephemeral-storage": f"{(usage.disk_capacity if usage is not None else 0) // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{memory // 1024}Ki",
        "pods": str(facts.pods),
    }
    if usage is None:
        del found["ephemeral-storage"]
    return {**found, **facts.extended}


def extended_of(amounts: Mapping[str, str]) -> dict[str, str]:
    """The extended resources among them: names of somebody's domain. Administrators write them into the capacity."""
    domains = {name: name.rpartition("/")[0] for name in amounts}
    return {name: amounts[name] for name, domain in domains.items() if domain and not domain.endswith("kubernetes.io")}


def allocatable_of(capacity: Mapping[str, str], reserved: Mapping[str, str]) -> dict[str, str]:
    """What is left for pods."""
    found = dict(capacity)
    for name, text in reserved.items():
        if name in found:
            left = quantity.parse(found[name]) - quantity.parse(text)
            found[name] = left.text if left.nanos > 0 else "0"
    return found


def node_status(
    facts: NodeFacts,
    had: Object,
    now: float,
    *,
    usage: MachineUsage | None = None,
    images: Sequence[ImageStatus] = (),
    pressures: Mapping[str, bool] | None = None,
    problem: str = "",
) -> Object:
    """`had`: the status that the API has; what others wrote into it stays. `problem`: why the node is not ready."""
    status: Object = dict(had)
    capacity = {**extended_of(had.get("capacity") or {}), **capacity_of(facts, usage)}
    if usage is None and had.get("capacity"):
        capacity = {**had["capacity"], **{key: value for key, value in capacity.items() if key in ("cpu", "pods")}}
    status["capacity"] = capacity
    status["allocatable"] = allocatable_of(capacity, facts.reserved)
    status["addresses"] = [{"type": kind, "address": address} for kind, address in facts.addresses]
    status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": facts.port}}
    machine = facts.machine
    status["nodeInfo"] = {
        "architecture": machine.architecture,
        "bootID": machine.boot_id,
        "containerRuntimeVersion": facts.runtime_version,
        "kernelVersion": machine.kernel,
        "kubeProxyVersion": "",
        "kubeletVersion": VERSION,
        "machineID": machine.machine_id,
        "operatingSystem": "linux",
        "osImage": machine.os_image,
        "systemUUID": machine.system_uuid,
        **({"swap": {"capacity": machine.swap}} if machine.swap else {}),
    }
    status["conditions"] = conditions_of(had.get("conditions") or (), now, pressures or {}, problem)
    if images:
        status["images"] = [_image(image) for image in sorted(images, key=lambda one: (-one.size, one.id))][
            :IMAGES_LIMIT
        ]
    features = {"recursiveReadOnlyMounts": True, "userNamespaces": machine.user_namespaces}
    status["runtimeHandlers"] = [{"name": "", "features": features}]
    status["features"] = {"supplementalGroupsPolicy": True}
    return status


def _image(image: ImageStatus) -> Object:
    names = [*image.digests, *image.tags][:NAMES_LIMIT]
    return {"names": names or [image.id], "sizeBytes": image.size}


def conditions_of(had: Sequence[Object], now: float, pressures: Mapping[str, bool], problem: str) -> list[Object]:
    known = {one["type"]: one for one in had}
    wanted = {
        kind: (
            "True" if pressures.get(kind) else "False",
            *((bad, worse) if pressures.get(kind) else (good, better)),
        )
        for kind, (good, better, bad, worse) in PRESSURES.items()
    }
    wanted["Ready"] = ("False", NOT_READY, problem) if problem else ("True", *READY)
    found = [one for one in had if one["type"] not in wanted]
    for kind, (status, reason, message) in wanted.items():
        before = known.get(kind) or {}
        since = before.get("lastTransitionTime") if before.get("status") == status else None
        found.append(
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": stamp(now),
                "lastTransitionTime": since or stamp(now),
                "reason": reason,
                "message": message,
            }
        )
    return found


def status_patch(had: Object, wanted: Object) -> Object:
    """The merge patch that makes the status so; what is not allocatable any more is taken away."""
    changed = {key: value for key, value in wanted.items() if had.get(key) != value}
    if "allocatable" in changed:
        gone = dict.fromkeys((had.get("allocatable") or {}).keys() - changed["allocatable"].keys())
        changed["allocatable"] = {**gone, **changed["allocatable"]}
    return changed


def offers_otherwise(status: Object) -> bool:
    """Whether somebody has written extended resources into the capacity that pods cannot have yet, or taken some."""
    return extended_of(status.get("capacity") or {}) != extended_of(status.get("allocatable") or {})


def differs(one: Object, other: Object) -> bool:
    """Whether two statuses say different things; heartbeats apart."""
    return _told(one) != _told(other)


def _told(status: Object) -> Object:
    conditions = [
        {key: value for key, value in one.items() if key != "lastHeartbeatTime"}
        for one in status.get("conditions") or ()
    ]
    return {**status, "conditions": sorted(conditions, key=lambda one: str(one["type"]))}
