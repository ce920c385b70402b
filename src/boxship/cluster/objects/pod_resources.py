"""What a pod asks for in all: its containers side by side, its init containers one after another, its overhead.

Source: kubernetes.io, "Resource Management for Pods and Containers", "Sidecar Containers" (resource sharing) and
"Pod-level resources". Pure.
"""

from collections.abc import Mapping

from boxship.cluster.objects import Object
from boxship.cluster.objects.quantity import Quantity, parse

Amounts = dict[str, Quantity]


def amounts(texts: Mapping[str, str | int | float] | None) -> Amounts:
    """A resource list with its quantities parsed."""
    return {name: parse(text) for name, text in (texts or {}).items()}


def add(into: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        into[name] = into[name] + amount if name in into else amount


def largest(into: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        if name not in into or amount > into[name]:
            into[name] = amount


def pod_amounts(spec: Object, side: str) -> Amounts:
    """The pod's effective `side`, "requests" or "limits". A sidecar (an init container that restarts always) counts
    from its start to the end of the pod, also beside the init containers after it."""
    total: Amounts = {}
    for container in spec.get("containers") or ():
        add(total, amounts((container.get("resources") or {}).get(side)))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = amounts((container.get("resources") or {}).get(side))
        if container.get("restartPolicy") == "Always":
            add(sidecars, own)
            largest(peak, dict(sidecars))
        else:
            beside = dict(sidecars)
            add(beside, own)
            largest(peak, beside)
    add(total, sidecars)
    largest(total, peak)
    for name, amount in amounts((spec.get("resources") or {}).get(side)).items():
        total[name] = amount  # what is said for the pod as a whole goes before the sum
    overhead = amounts(spec.get("overhead"))
    if side == "requests":
        add(total, overhead)
    else:
        for name, amount in overhead.items():
            if name in total:  # no limit stays no limit
                total[name] = total[name] + amount
    return total


def is_best_effort(spec: Object) -> bool:
    """Whether nothing in the pod asks for or is limited in cpu or memory."""
    places = [spec, *(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for place in places:
        resources = place.get("resources") or {}
        for side in ("requests", "limits"):
            for name, text in (resources.get(side) or {}).items():
                if name in ("cpu", "memory") and parse(text):
                    return False
    return True
