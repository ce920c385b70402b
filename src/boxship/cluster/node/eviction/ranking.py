"""Which pod has to go when the node is short of something, and which go because they use more than they may. Pure.

Source: documentation "Node-pressure Eviction" (pod selection), "Local ephemeral storage". The messages are the
original's.
"""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.cluster.node.eviction.pressure import DISK, INODES, MEMORY, RESOURCES, Shortage
from boxship.cluster.node.runtime import PodUsage, Usage
from boxship.cluster.objects import Object, quantity
from boxship.cluster.objects.pod_resources import pod_amounts

CRITICAL = 2_000_000_000  # priority from which on a pod never goes
SOURCE = "kubernetes.io/config.source"
REASON = "Evicted"


class Victim(msgspec.Struct, frozen=True):
    uid: str
    message: str


def first_to_go(shortage: Shortage, pods: Sequence[Object], usages: Sequence[PodUsage]) -> Victim | None:
    """None: there is nobody who may go."""
    known = {usage.uid: usage for usage in usages}
    found = [pod for pod in pods if pod["metadata"]["uid"] in known and not _is_critical(pod)]
    if not found:
        return None
    signal = shortage.threshold.signal

    def rank(pod: Object) -> tuple[bool, int, int]:
        used = _used(signal, known[pod["metadata"]["uid"]].pod)
        asked = _asked(signal, pod)
        return used <= asked, _priority(pod), asked - used

    pod = min(found, key=rank)
    uid = pod["metadata"]["uid"]
    return Victim(uid, _message(shortage, pod, known[uid]))


def over_limits(pod: Object, usage: PodUsage, volumes: Mapping[str, tuple[int, int | None]]) -> str:
    """Why a pod uses more local storage than it may; "" where it does not. `volumes`: what each emptyDir uses, and its
    limit."""
    for name, (used, limit) in volumes.items():
        if limit is not None and used > limit:
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{_shown(limit)}". '
    for container in pod["spec"].get("containers") or ():
        text = ((container.get("resources") or {}).get("limits") or {}).get("ephemeral-storage")
        own = usage.containers.get(container["name"])
        if text is not None and own is not None and own.disk > quantity.parse(text).value:
            return f'Container {container["name"]} exceeded its local ephemeral storage limit "{text}". '
    total = pod_amounts(pod["spec"], "limits").get("ephemeral-storage")
    used = usage.pod.disk + sum(used for used, _ in volumes.values())
    if total is not None and used > total.value:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {total.text}. "
    return ""


def has_limits(pod: Object) -> bool:
    """Whether there is anything that `over_limits` could find."""
    spec = pod["spec"]
    if any((volume.get("emptyDir") or {}).get("sizeLimit") for volume in spec.get("volumes") or ()):
        return True
    containers = spec.get("containers") or ()
    return any("ephemeral-storage" in ((one.get("resources") or {}).get("limits") or {}) for one in containers)


def _is_critical(pod: Object) -> bool:
    return _priority(pod) >= CRITICAL or SOURCE in (pod["metadata"].get("annotations") or {})


def _priority(pod: Object) -> int:
    return int(pod["spec"].get("priority") or 0)


def _used(signal: str, usage: Usage) -> int:
    if signal == MEMORY:
        return usage.working_set
    if signal == DISK:
        return usage.disk
    return usage.inodes if signal == INODES else usage.processes


def _asked(signal: str, pod: Object) -> int:
    if signal not in (MEMORY, DISK):
        return 0
    amount = pod_amounts(pod["spec"], "requests").get(RESOURCES[signal])
    return amount.value if amount is not None else 0


def _message(shortage: Shortage, pod: Object, usage: PodUsage) -> str:
    signal = shortage.threshold.signal
    resource = RESOURCES[signal]
    bound, left = (
        _shown(amount) if signal in (MEMORY, DISK) else str(amount) for amount in (shortage.bound, shortage.available)
    )
    text = f"The node was low on resource: {resource}. Threshold quantity: {bound}, available: {left}. "
    if signal not in (MEMORY, DISK):
        return text
    for container in pod["spec"].get("containers") or ():
        own = usage.containers.get(container["name"])
        asked = ((container.get("resources") or {}).get("requests") or {}).get(resource)
        wanted = quantity.parse(asked).value if asked is not None else 0
        if own is not None and _used(signal, own) > wanted:
            shown, request = _shown(_used(signal, own)), asked if asked is not None else "0"
            text += (
                f"Container {container['name']} was using {shown}, request is {request}, "
                f"has larger consumption of {resource}. "
            )
    return text


def _shown(amount: int) -> str:
    """As the original shows bytes: "50Mi"."""
    return quantity.of(amount, quantity.BINARY).text
