"""Claims of pods' generic ephemeral volumes: made for the pod, named after it, owned by it, so that they go with it.

Source: kubernetes.io, "Ephemeral Volumes" (generic); the texts are the original's.
"""

from collections.abc import Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.storage.binding import CLAIM
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events

PODS = "v1/pods"


class GenericVolumes:
    name = "ephemeral-volume-controller"
    workers = 4

    def __init__(self, client: Client, pods: Cache, claims: Cache, events: Events) -> None:
        self.caches: Sequence[Cache] = (pods, claims)
        self.queue: Queue[Key] = Queue()
        self._client = client
        self._pods, self._claims = pods, claims
        self._events = events
        pods.subscribe(self._pod_changed)
        claims.subscribe(self._claim_changed)

    async def reconcile(self, key: Key) -> None:
        facts: Pod | None = self._pods.get(key)
        if facts is None or facts.deleted or not facts.generic:
            return
        if all(self._is_served(facts, volume) for volume in facts.generic):
            return
        pod = await self._client.get(PODS, *key)
        for entry in pod["spec"].get("volumes") or ():
            if not entry.get("ephemeral"):
                continue
            volume = entry["name"]
            wanted = claim_for(pod, volume, entry["ephemeral"].get("volumeClaimTemplate") or {})
            place = (key[0], wanted["metadata"]["name"])
            found = self._claims.get(place)
            if found is None:
                try:
                    await self._client.create(CLAIM, key[0], wanted)
                    continue
                except Failure as failure:
                    if failure.reason != "AlreadyExists":
                        self._fail(pod, volume, f"create PVC {place[1]}: {failure}")
                        raise
                    found = await self._client.get(CLAIM, *place)
            if not _is_owned(found, pod["metadata"]["uid"]):
                why = f"PVC {place[0]}/{place[1]} was not created for pod {key[0]}/{key[1]} (pod is not owner)"
                self._fail(pod, volume, why)

    def _fail(self, pod: Object, volume: str, why: str) -> None:
        self._events.tell(pod, "Warning", "FailedBinding", f"ephemeral volume {volume}: {why}")

    def _is_served(self, facts: Pod, volume: str) -> bool:
        claim = self._claims.get((facts.namespace, f"{facts.name}-{volume}"))
        return claim is not None and _is_owned(claim, facts.uid)

    def _pod_changed(self, key: Key, old: Pod | None, new: Pod | None) -> None:
        if new is not None and new.generic and (old is None or old.uid != new.uid):
            self.queue.add(key)

    def _claim_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            for owner in old["metadata"].get("ownerReferences") or ():
                if owner.get("kind") == "Pod":
                    self.queue.add((key[0], owner["name"]))


def claim_for(pod: Object, volume: str, template: Object) -> Object:
    metadata = pod["metadata"]
    owner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    said = template.get("metadata") or {}
    kept = {key: dict(said[key]) for key in ("labels", "annotations") if said.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"{metadata['name']}-{volume}", **kept, "ownerReferences": [owner]},
        "spec": template.get("spec") or {},
    }


def _is_owned(claim: Object, uid: str) -> bool:
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == uid and owner.get("controller") for owner in owners)
