"""Requests and limits as what the kernel is told: shares, quotas, bytes, and who is killed first. Pure.

Source: kubernetes.io, "Resource Management for Pods and Containers" (how limits are applied), "Node-pressure Eviction"
(oom_score_adj), "Pod-level resources".
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.cluster.node.planning import NotPossible
from boxship.cluster.objects import Object
from boxship.cluster.objects.kinds.core_resources import qos_class
from boxship.cluster.objects.pod_resources import amounts, pod_amounts
from boxship.cluster.objects.quantity import ZERO, Quantity
from boxship.spec.container import Resources

PERIOD = 100_000  # microseconds
LEAST_QUOTA = 1_000  # microseconds; the kernel's
LEAST_SHARES, MOST_SHARES = 2, 262_144
GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
GUARANTEED_SCORE, BEST_EFFORT_SCORE = -997, 1000
CRITICAL = "system-node-critical"


def class_of(pod: Object) -> str:
    """The pod's quality of service class."""
    return str((pod.get("status") or {}).get("qosClass") or qos_class(pod["spec"]))


def group_of(pod: Object, parent: str) -> str:
    """The pod's own cgroup, below the hierarchy's root."""
    kind = class_of(pod)
    middle = "" if kind == GUARANTEED else f"/{kind.lower()}"
    return f"{parent}{middle}/pod{pod['metadata']['uid']}"


def shares(milli: int) -> int:
    return min(max(milli * 1024 // 1000, LEAST_SHARES), MOST_SHARES)


def quota(milli: int) -> int:
    """0: none."""
    return max(milli * PERIOD // 1000, LEAST_QUOTA) if milli else 0


def resources_of(request: Quantity | None, limit: Quantity | None, memory: Quantity | None) -> Resources:
    """Of processor time asked for, its limit, and the limit of memory."""
    asked = request if request is not None else limit
    limited = quota(limit.milli) if limit is not None else 0
    size = memory.value if memory is not None else 0
    return Resources(
        memory=size,
        memory_swap=size,
        cpu_shares=shares(asked.milli if asked is not None else 0),
        cpu_period=PERIOD if limited else 0,
        cpu_quota=limited,
    )


def pod_resources(pod: Object) -> Resources:
    """Of the pod's cgroup: limits hold for all containers together where each of them has one."""
    spec = pod["spec"]
    kind = class_of(pod)
    if kind == BEST_EFFORT:
        return Resources(cpu_shares=LEAST_SHARES)
    requests, limits = pod_amounts(spec, "requests"), pod_amounts(spec, "limits")
    whole = (spec.get("resources") or {}).get("limits") or {}

    def limit(name: str) -> Quantity | None:
        everywhere = all(_limits(part).get(name, ZERO) for part in _parts(spec))
        return limits.get(name) if name in whole or everywhere else None

    return resources_of(requests.get("cpu", ZERO), limit("cpu"), limit("memory"))


def container_resources(pod: Object, container: Mapping[str, Any]) -> Resources:
    """Raises NotPossible for kinds of resources that nobody can give."""
    resources = container.get("resources") or {}
    for name in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}:
        if name.startswith("hugepages-"):
            raise NotPossible("CreateContainerConfigError", f"unsupported: {name}")
    whole = amounts((pod["spec"].get("resources") or {}).get("limits"))
    own, limits = amounts(resources.get("requests")), _limits(container)
    found = resources_of(
        own.get("cpu"), limits.get("cpu") or whole.get("cpu"), limits.get("memory") or whole.get("memory")
    )
    return msgspec.structs.replace(found, oom_group=True)  # half a container would look as if it were well


def oom_score(pod: Object, container: Mapping[str, Any], memory_capacity: int) -> int:
    """Who asks for much of the memory is killed late; `memory_capacity` is the node's, in bytes."""
    spec = pod["spec"]
    kind = class_of(pod)
    if spec.get("priorityClassName") == CRITICAL or kind == GUARANTEED:
        return GUARANTEED_SCORE
    if kind == BEST_EFFORT or not memory_capacity:
        return BEST_EFFORT_SCORE
    regular = spec.get("containers") or ()
    share = 0  # of what is asked for the pod as a whole, each container counts for a part
    whole = amounts((spec.get("resources") or {}).get("requests")).get("memory")
    if whole is not None and regular:
        count = len(regular) + sum(1 for one in spec.get("initContainers") or () if _is_sidecar(one))
        share = max(whole.value - sum(_memory_request(one) for one in regular), 0) // count

    def score(request: int) -> int:
        return 1000 - 1000 * (request + share) // memory_capacity

    found = score(_memory_request(container))
    if _is_sidecar(container):  # it goes after those that it serves
        found = min(found, min((score(_memory_request(one)) for one in regular), default=found))
    return min(max(found, 1000 + GUARANTEED_SCORE), BEST_EFFORT_SCORE - 1)


def _is_sidecar(container: Mapping[str, Any]) -> bool:
    return container.get("restartPolicy") == "Always"


def _memory_request(container: Mapping[str, Any]) -> int:
    return amounts((container.get("resources") or {}).get("requests")).get("memory", ZERO).value


def _limits(container: Mapping[str, Any]) -> dict[str, Quantity]:
    return amounts((container.get("resources") or {}).get("limits"))


def _parts(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
