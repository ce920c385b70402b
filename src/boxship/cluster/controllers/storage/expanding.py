"""Claims that ask for more than they have. A local folder has no size of its own: the volume's capacity is raised, then
the claim's, and that is all; volumes of others wait for whoever made them.

Source: kubernetes.io, "Persistent Volumes" (expanding claims); the texts of events are the original's.
"""

from collections.abc import Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.storage import matching
from boxship.cluster.controllers.storage.binding import CLAIM, VOLUME
from boxship.cluster.controllers.storage.provisioning import PROVISIONER
from boxship.cluster.objects import Object
from boxship.cluster.objects.quantity import parse
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events

WAITS = "waiting for an external controller to expand this PVC"


class Expander:
    name = "expand-controller"
    workers = 1

    def __init__(self, client: Client, claims: Cache, volumes: Cache, classes: Cache, events: Events) -> None:
        self.caches: Sequence[Cache] = (claims, volumes, classes)
        self.queue: Queue[Key] = Queue()
        self._client = client
        self._claims, self._volumes, self._classes = claims, volumes, classes
        self._events = events
        claims.subscribe(self._changed)

    async def reconcile(self, key: Key) -> None:
        claim = self._claims.get(key)
        if claim is None or not wants_more(claim):
            return
        volume = self._volumes.get(("", claim["spec"]["volumeName"]))
        if volume is None or not matching.is_bound_to(volume, claim):
            return
        class_ = self._classes.get(("", matching.class_of(claim)))
        if matching.annotations_of(volume).get(matching.PROVISIONED_BY) != PROVISIONER:
            self._events.tell(claim, "Normal", "ExternalExpanding", WAITS)
            return
        if class_ is None or not class_.get("allowVolumeExpansion"):
            why = "only dynamically provisioned pvc can be resized and the storageclass must support resize"
            self._events.tell(claim, "Warning", "VolumeResizeFailed", why)
            return
        wanted = matching.wanted_size(claim)
        if matching.size_of(volume) < wanted:
            spec = volume["spec"]
            capacity = {**(spec.get("capacity") or {}), "storage": wanted.text}
            await self._client.patch(VOLUME, "", volume["metadata"]["name"], {"spec": {"capacity": capacity}})
        await self._client.patch(CLAIM, *key, {"status": enlarged(claim)}, subresource="status")
        self._events.tell(
            claim, "Normal", "FileSystemResizeSuccessful", "MountVolume.NodeExpandVolume succeeded for volume"
        )

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None and wants_more(new):
            self.queue.add(key)


def wants_more(claim: Object) -> bool:
    status = claim.get("status") or {}
    has = (status.get("capacity") or {}).get("storage")
    if status.get("phase") != "Bound" or has is None or not claim["spec"].get("volumeName"):
        return False
    return matching.wanted_size(claim) > parse(has)


def enlarged(claim: Object) -> Object:
    """A merge patch of the status: the size as asked for, no word of resizing left."""
    status = claim.get("status") or {}
    conditions = [one for one in status.get("conditions") or () if "Resiz" not in one.get("type", "")]
    size = matching.wanted_size(claim).text
    return {
        "capacity": {**(status.get("capacity") or {}), "storage": size},
        "conditions": conditions or None,
        "allocatedResources": {"storage": size},
        "allocatedResourceStatuses": None,
    }
