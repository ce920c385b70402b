"""How large an emptyDir in memory may become, and how full emptyDirs are. The first is pure.

Source: kubernetes.io, "Volumes" (emptyDir), "Local ephemeral storage".
"""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.pod_resources import amounts, pod_amounts
from boxship.cluster.objects.quantity import parse


def memory_size(pod: Object, source: Mapping[str, Any], available: int) -> int:
    """Bytes: the smallest of the volume's limit, the pod's limit of memory where all containers have one, and what the
    node can give. 0 for none."""
    spec = pod["spec"]
    limits = [available]
    if source.get("sizeLimit") is not None:
        limits.append(parse(source["sizeLimit"]).value)
    containers = spec.get("containers") or ()
    if all(amounts((one.get("resources") or {}).get("limits")).get("memory") for one in containers):
        whole = pod_amounts(spec, "limits").get("memory")
        limits.append(whole.value if whole is not None else 0)
    return min((limit for limit in limits if limit > 0), default=0)
