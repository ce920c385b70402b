"""The claims of a stateful set's pods: made before the pod, and, where the set says so, owned by what they shall go
with: the set (whenDeleted), or a pod that is scaled away (whenScaled)."""

import copy
from collections.abc import Sequence

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.claiming import reference
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.stateful import identity
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.recording import Events
from boxship.errors import BoxshipError

RESOURCE = "v1/persistentvolumeclaims"


class Claim(msgspec.Struct, frozen=True):
    """What is known of one."""

    namespace: str
    name: str
    uid: str
    version: str
    deleted: bool
    owners: tuple[Object, ...]


def facts_of(claim: Object) -> Claim:
    metadata = claim["metadata"]
    return Claim(
        metadata.get("namespace", ""),
        metadata["name"],
        metadata.get("uid", ""),
        metadata.get("resourceVersion", ""),
        bool(metadata.get("deletionTimestamp")),
        tuple(metadata.get("ownerReferences") or ()),
    )


def owners(stateful: Object, pod: Pod | None, known: Sequence[Object], *, condemned: bool) -> list[Object]:
    """Who should own a claim; the others' references stay. Another controller's claim is left alone."""
    uid = stateful["metadata"]["uid"]
    name = pod.name if pod is not None else ""
    ours = [one for one in known if one.get("uid") == uid or (one.get("kind") == "Pod" and one.get("name") == name)]
    others = [one for one in known if one not in ours]
    if any(one.get("controller") for one in others):
        return list(known)
    policy = stateful["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    scaled, deleted = policy.get("whenScaled") == "Delete", policy.get("whenDeleted") == "Delete"
    if scaled and condemned and pod is not None:
        owner: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod.name, "uid": pod.uid}}
        return [*others, reference(owner)]
    return [*others, reference(stateful)] if deleted else others


def is_stale(pod_name: str, claim: Claim) -> bool:
    """It goes with an earlier pod of this name: wait until it is gone."""
    return any(one.get("kind") == "Pod" and one.get("name") == pod_name for one in claim.owners)


def make(stateful: Object, template: Object, ordinal: int) -> Object:
    given = template["metadata"]
    labels = (stateful["spec"].get("selector") or {}).get("matchLabels") or {}
    metadata: Object = {
        "name": identity.claim_name(stateful, template, ordinal),
        "namespace": stateful["metadata"].get("namespace", ""),
        "labels": {**(given.get("labels") or {}), **labels},
    }
    if given.get("annotations"):
        metadata["annotations"] = dict(given["annotations"])
    own = owners(stateful, None, (), condemned=False)
    if own:
        metadata["ownerReferences"] = own
    spec = copy.deepcopy(template.get("spec") or {})
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


class Claims:
    """Reads the cache, writes claims."""

    def __init__(self, client: Client, cache: Cache, events: Events) -> None:
        self._client = client
        self.cache = cache
        self._events = events

    async def provide(self, stateful: Object, ordinal: int) -> bool:
        """All claims for a pod are there. False: one that goes has to be gone first."""
        namespace, pod = stateful["metadata"]["namespace"], identity.pod_name(stateful, ordinal)
        for template in identity.claim_templates(stateful):
            name = identity.claim_name(stateful, template, ordinal)
            known: Claim | None = self.cache.get((namespace, name))
            if known is not None:
                if known.deleted or is_stale(pod, known):
                    return False
                continue
            where = f"Claim {name} Pod {pod} in StatefulSet {stateful['metadata']['name']}"
            try:
                await self._client.create(RESOURCE, namespace, make(stateful, template, ordinal))
            except BoxshipError as error:
                if isinstance(error, Failure) and error.reason == "AlreadyExists":
                    continue
                self._events.tell(stateful, "Warning", "FailedCreate", f"create {where} failed error: {error}")
                raise
            self._events.tell(stateful, "Normal", "SuccessfulCreate", f"create {where} success")
        return True

    async def keep(self, stateful: Object, pod: Pod, ordinal: int) -> None:
        """The owners of a pod's claims as the retention policy wants them."""
        condemned = ordinal not in identity.ordinals(stateful)
        for template in identity.claim_templates(stateful):
            name = identity.claim_name(stateful, template, ordinal)
            known: Claim | None = self.cache.get((pod.namespace, name))
            if known is None or known.deleted:
                continue
            wanted = owners(stateful, pod, known.owners, condemned=condemned)
            if [one.get("uid") for one in wanted] == [one.get("uid") for one in known.owners]:
                continue
            metadata = {"uid": known.uid, "resourceVersion": known.version, "ownerReferences": wanted or None}
            try:
                await self._client.patch(RESOURCE, pod.namespace, name, {"metadata": metadata})
            except Failure as failure:
                if failure.reason != "NotFound":
                    raise
