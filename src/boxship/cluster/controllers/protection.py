"""What is deleted while somebody uses it goes when nobody does any more: admission puts a finalizer on claims, volumes
and classes of volumes, and these controllers take it off (kubernetes.io, "Storage Object in Use Protection").

Who uses something is asked only while it waits to go. A claim is asked after in the pods that all controllers know; the
API is asked, which reads all pods of the namespace, only where none of those has it.
"""

from collections.abc import Awaitable, Callable, Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

CLAIMS, VOLUMES = "v1/persistentvolumeclaims", "v1/persistentvolumes"
CLASSES = "storage.k8s.io/v1/volumeattributesclasses"
ENDED = ("Succeeded", "Failed")
FIRST_LOOK, LAST_LOOK, GROWTH = 0.1, 2.0, 1.5  # seconds until the next look: what is deleted with its user goes soon
Used = Callable[[Object], Awaitable[bool]]


def leaving(object: Object) -> Object | None:
    """What is kept of an object: all, once it is to go."""
    return object if object["metadata"].get("deletionTimestamp") else None


class Protection:
    """Of one kind. Its cache keeps `leaving`."""

    workers = 1

    def __init__(self, name: str, client: Client, cache: Cache, finalizer: str, used: Used) -> None:
        self.name = name
        self.caches: Sequence[Cache] = (cache,)
        self.queue: Queue[Key] = Queue()
        self._client = client
        self._cache = cache
        self._finalizer = finalizer
        self._used = used
        self._pauses: dict[Key, float] = {}
        cache.subscribe(self._changed)

    async def reconcile(self, key: Key) -> Again | None:
        object = self._cache.get(key)
        kept = (object["metadata"].get("finalizers") or []) if object is not None else []
        if self._finalizer not in kept:
            return None
        if await self._used(object):
            pause = self._pauses.get(key, FIRST_LOOK)
            self._pauses[key] = min(pause * GROWTH, LAST_LOOK)
            return Again(pause)
        metadata = {**object["metadata"], "finalizers": [one for one in kept if one != self._finalizer]}
        await self._client.update(self._cache.resource, {**object, "metadata": metadata})
        return None

    def _changed(self, key: Key, old: object, new: object) -> None:
        if new is not None:
            self.queue.add(key)
        else:
            self._pauses.pop(key, None)


def protections(client_of: Callable[[str], Client], own: Client, known: Cache) -> list[Protection]:
    """All of them. `known`: the pods, as the controllers of workloads keep them."""
    claims, classes = client_of("pvc-protection-controller"), client_of("vac-protection-controller")

    async def claim_used(claim: Object) -> bool:
        metadata = claim["metadata"]
        key = metadata["namespace"], metadata["name"]
        if any(has(pod, key) for _, pod in known.items()):
            return True
        pods = (await claims.list("v1/pods", metadata["namespace"])).items
        return any(uses(pod, metadata["name"]) for pod in pods)

    async def volume_used(volume: Object) -> bool:
        return (volume.get("status") or {}).get("phase") == "Bound"

    async def class_used(class_: Object) -> bool:
        name = class_["metadata"]["name"]
        for resource in (CLAIMS, VOLUMES):
            if any(name in classes_of(one) for one in (await classes.list(resource)).items):
                return True
        return False

    return [
        Protection(name, client, Cache(own, resource, keep=leaving), f"kubernetes.io/{word}-protection", used)
        for word, resource, name, client, used in (
            ("pvc", CLAIMS, "pvc-protection-controller", claims, claim_used),
            ("pv", VOLUMES, "pv-protection-controller", client_of("pv-protection-controller"), volume_used),
            ("vac", CLASSES, "vac-protection-controller", classes, class_used),
        )
    ]


def has(pod: Pod, claim: Key) -> bool:
    """The same of a pod that is known already."""
    if pod.namespace != claim[0] or not pod.node or pod.is_done:
        return False
    return claim[1] in pod.claims.values() or any(f"{pod.name}-{volume}" == claim[1] for volume in pod.generic)


def uses(pod: Object, claim: str) -> bool:
    """Only pods that have a node count: none starts with a claim that is to go."""
    spec = pod.get("spec") or {}
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ENDED:
        return False
    for volume in spec.get("volumes") or ():
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == claim:
            return True
        if volume.get("ephemeral") is not None and f"{pod['metadata']['name']}-{volume['name']}" == claim:
            return True
    return False


def classes_of(object: Object) -> set[str]:
    """The classes that a claim or a volume has, or is to have."""
    parts = (object.get("spec") or {}, object.get("status") or {})
    wanted = (parts[1].get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    found = {wanted, parts[0].get("volumeAttributesClassName"), parts[1].get("currentVolumeAttributesClassName")}
    return {name for name in found if name}
