"""NodeRestriction: a node's own credentials change that node, its pods, its lease and its CSINode, nothing else.

Source: kubernetes.io, "Admission Controllers Reference", NodeRestriction; "Using Node Authorization".
"""

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.api.authorization.needs import references_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, forbidden

GROUP = "system:nodes"
PREFIX = "system:node:"
# Labels of the domains kubernetes.io and k8s.io that a node may set on itself; of others it may set any.
OWN_LABELS = {
    "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region", "topology.kubernetes.io/zone", "node.kubernetes.io/windows-build",
}  # fmt: skip
OWN_PREFIXES = ("kubelet.kubernetes.io/", "node.kubernetes.io/")
POD_WRITES = {("UPDATE", "status"): "update pod status for", ("CREATE", "eviction"): "evict"}
LOCAL_VOLUME = "boxship.io/local-volume"  # the finalizer of volumes whose folder is a node's to remove
CLAIM_STATUSES = ("resourceClaimStatuses", "extendedResourceClaimStatus")  # of a pod: they name what a node may read
UNCOMPARED = ("resourceVersion", "managedFields")
# Of a claim's status what a node tells: how far its volume has grown.
CLAIM_TOLD = ("capacity", "allocatedResources", "allocatedResourceStatuses", "conditions")
RESTRICTED_PREFIX = "node-restriction.kubernetes.io/"


class NodeRestriction:
    """Implements Plugin."""

    name = "NodeRestriction"

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def admit(self, attributes: Attributes) -> None:
        return None

    async def validate(self, attributes: Attributes) -> None:
        user = attributes.request.user
        if GROUP not in user.groups:
            return
        node = user.name.removeprefix(PREFIX) if user.name.startswith(PREFIX) else ""
        if not node:
            raise self._refusal(attributes, "could not determine node from user")
        match attributes.request.resource.path:
            case "v1/pods":
                await self._pod(attributes, node)
            case "v1/nodes":
                self._node(attributes, node)
            case "v1/serviceaccounts" if attributes.request.subresource == "token":
                await self._token(attributes, node)
            case "coordination.k8s.io/v1/leases":
                self._lease(attributes, node)
            case "storage.k8s.io/v1/csinodes":
                if attributes.name != node:
                    raise self._refusal(attributes, "can only access CSINode with the same name as the requesting node")
            case "resource.k8s.io/v1/resourceslices":
                self._slice(attributes, node)
            case "v1/persistentvolumeclaims":
                self._claim(attributes, node)
            case "v1/persistentvolumes":
                self._volume(attributes, node)

    def _refusal(self, attributes: Attributes, why: str) -> Failure:
        return forbidden(attributes.request.resource, attributes.name, why)

    async def _pod(self, attributes: Attributes, node: str) -> None:
        request = attributes.request
        pod = attributes.object or {}
        old = attributes.old or {}
        if request.subresource == "eviction":
            old = await self._lookup.get("v1/pods", request.namespace, attributes.name) or {}
        operation = attributes.operation
        if operation == "CREATE" and not request.subresource:
            await self._mirror(attributes, pod, node)
            return
        doing = "delete" if operation == "DELETE" else POD_WRITES.get((operation, request.subresource))
        if doing is None:
            why = f'unexpected pod subresource "{request.subresource}", only status and eviction'
            raise self._refusal(attributes, why)
        if old.get("spec", {}).get("nodeName") != node:
            why = f'node "{node}" can only {doing} pods with spec.nodeName set to itself'
            raise self._refusal(attributes, why)
        if operation == "UPDATE" and pod.get("metadata", {}).get("labels") != old.get("metadata", {}).get("labels"):
            raise self._refusal(attributes, f'node "{node}" cannot update labels through pod status')
        before, after = old.get("status") or {}, pod.get("status") or {}
        if operation == "UPDATE" and any(before.get(field) != after.get(field) for field in CLAIM_STATUSES):
            raise self._refusal(attributes, f'node "{node}" cannot update resource claim statuses')

    async def _mirror(self, attributes: Attributes, pod: Object, node: str) -> None:
        """A node makes pods only as pictures of its static ones."""
        metadata, spec = pod.get("metadata", {}), pod.get("spec", {})
        if "kubernetes.io/config.mirror" not in metadata.get("annotations", {}):
            mark = 'pod does not have "kubernetes.io/config.mirror" annotation'
            raise self._refusal(attributes, f'{mark}, node "{node}" can only create mirror pods')
        if spec.get("nodeName") != node:
            raise self._refusal(attributes, f'node "{node}" can only create pods with spec.nodeName set to itself')
        await self._owner(attributes, metadata.get("ownerReferences") or [], node)
        for resource, _, _ in references_of(pod):
            raise self._refusal(attributes, f'node "{node}" can not create pods that reference {resource}')
        for volume in spec.get("volumes") or ():
            for kind in ("secret", "configMap", "projected", "persistentVolumeClaim", "ephemeral"):
                if volume.get(kind):
                    raise self._refusal(attributes, f'node "{node}" can not create pods that reference {kind} volumes')

    async def _owner(self, attributes: Attributes, owners: list[Object], node: str) -> None:
        """What a node makes is its own: it goes when that Node goes, and with no other object."""
        if len(owners) != 1:
            which = "a single" if owners else "an"
            raise self._refusal(
                attributes, f'node "{node}" can only create pods with {which} owner reference set to itself'
            )
        owner = owners[0]
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise self._refusal(attributes, f'node "{node}" can only create pods with an owner reference set to itself')
        if not owner.get("controller"):
            why = f'node "{node}" can only create pods with a controller owner reference set to itself'
            raise self._refusal(attributes, why)
        if owner.get("blockOwnerDeletion"):
            raise self._refusal(attributes, f'node "{node}" must not set blockOwnerDeletion on an owner reference')
        found = await self._lookup.get("v1/nodes", "", node)
        uid = found["metadata"].get("uid") if found else None
        if uid != owner.get("uid"):
            raise self._refusal(attributes, f'node "{node}" UID mismatch: expected {owner.get("uid")} got {uid}')

    def _node(self, attributes: Attributes, node: str) -> None:
        if attributes.operation == "DELETE":
            raise self._refusal(attributes, f'node "{node}" is not allowed to delete nodes')
        if attributes.name != node:
            raise self._refusal(attributes, f'node "{node}" is not allowed to modify node "{attributes.name}"')
        labels = (attributes.object or {}).get("metadata", {}).get("labels") or {}
        before = (attributes.old or {}).get("metadata", {}).get("labels") or {}
        changed = {key for key in labels.keys() | before.keys() if labels.get(key) != before.get(key)}
        if wrong := sorted(key for key in changed if _is_foreign(key)):
            raise self._refusal(attributes, f"is not allowed to modify labels: {', '.join(wrong)}")
        if _owners(attributes.object) != _owners(attributes.old):  # its end would be another object's
            raise self._refusal(attributes, f'node "{node}" is not allowed to modify ownerReferences')
        if not attributes.request.subresource and _blocks(attributes.object) != _blocks(attributes.old):
            raise self._refusal(attributes, f'node "{node}" is not allowed to modify podCIDRs')
        if attributes.operation == "UPDATE":
            spec, old = (attributes.object or {}).get("spec", {}), (attributes.old or {}).get("spec", {})
            if spec.get("taints") != old.get("taints") and not attributes.request.subresource:
                raise self._refusal(attributes, f'node "{node}" is not allowed to modify taints')
            if spec.get("configSource") != old.get("configSource"):
                raise self._refusal(attributes, f'node "{node}" is not allowed to update configSource')

    async def _token(self, attributes: Attributes, node: str) -> None:
        bound = (attributes.object or {}).get("spec", {}).get("boundObjectRef") or {}
        if bound.get("kind") != "Pod" or not bound.get("name") or not bound.get("uid"):
            raise self._refusal(attributes, "node requested token not bound to a pod")
        pod = await self._lookup.get("v1/pods", attributes.request.namespace, bound["name"])
        if pod is None or pod["metadata"].get("uid") != bound["uid"]:
            raise self._refusal(attributes, "node requested token bound to a pod that is not there")
        if pod.get("spec", {}).get("nodeName") != node:
            raise self._refusal(attributes, "node requested token bound to a pod scheduled on a different node")
        asked = (attributes.object or {}).get("spec", {}).get("audiences") or [""]
        if len(asked) > 1:
            raise self._refusal(attributes, "node may only request 0 or 1 audiences")
        if asked[0] not in _audiences(pod):
            raise self._refusal(attributes, f'audience "{asked[0]}" not found in pod spec volume')

    def _lease(self, attributes: Attributes, node: str) -> None:
        if attributes.request.namespace != "kube-node-lease":
            raise self._refusal(attributes, 'can only access leases in the "kube-node-lease" system namespace')
        if attributes.name != node:
            raise self._refusal(attributes, "can only access node lease with the same name as the requesting node")

    def _volume(self, attributes: Attributes, node: str) -> None:
        """A node says that a folder is gone by taking its finalizer off: it changes nothing else."""
        new, old = attributes.object or {}, attributes.old or {}
        kept = [one for one in _finalizers(old) if one != LOCAL_VOLUME]
        same = _but_finalizers(new) == _but_finalizers(old) and _finalizers(new) in (kept, _finalizers(old))
        if attributes.operation != "UPDATE" or not same:
            why = f'node "{node}" can only take the finalizer {LOCAL_VOLUME} off persistentvolumes'
            raise self._refusal(attributes, why)

    def _claim(self, attributes: Attributes, node: str) -> None:
        """A node tells how far a claim's volume has grown."""
        if attributes.operation != "UPDATE" or attributes.request.subresource != "status":
            raise self._refusal(attributes, f'node "{node}" can only update the status of persistentvolumeclaims')
        if _but_told(attributes.object) != _but_told(attributes.old):
            why = f'node "{node}" may not update fields other than status.quantity and status.conditions'
            raise self._refusal(attributes, why)

    def _slice(self, attributes: Attributes, node: str) -> None:
        made = attributes.object or attributes.old or {}
        if made.get("spec", {}).get("nodeName") != node:
            raise self._refusal(
                attributes, "can only access ResourceSlice with the same NodeName as the requesting node"
            )


def _is_foreign(key: str) -> bool:
    """Whether the label is one that only administrators set."""
    domain, slash, _ = key.partition("/")
    if not slash:
        return False
    if key.startswith(RESTRICTED_PREFIX) or domain.endswith(".node-restriction.kubernetes.io"):
        return True
    ours = domain in ("kubernetes.io", "k8s.io") or domain.endswith((".kubernetes.io", ".k8s.io"))
    own = (
        key in OWN_LABELS
        or key.startswith(OWN_PREFIXES)
        or domain.endswith((".kubelet.kubernetes.io", ".node.kubernetes.io"))
    )
    return ours and not own


def _blocks(node: Object | None) -> tuple[object, ...]:
    """The addresses that all nodes send to this one: not for a node to choose, as the original lets it at first."""
    spec = (node or {}).get("spec") or {}
    return spec.get("podCIDR") or "", list(spec.get("podCIDRs") or ())


def _owners(object: Object | None) -> list[Object]:
    return list(((object or {}).get("metadata") or {}).get("ownerReferences") or ())


def _audiences(pod: Object) -> set[str]:
    """For whom the pod has tokens in its volumes; "" is the API itself."""
    sources = [
        source
        for volume in pod.get("spec", {}).get("volumes") or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
    ]
    tokens = [source["serviceAccountToken"] for source in sources if source.get("serviceAccountToken") is not None]
    return {str(token.get("audience") or "") for token in tokens}


def _but_told(claim: Object | None) -> Object:
    """A claim without what nodes tell of it."""
    made = claim or {}
    metadata = {key: value for key, value in (made.get("metadata") or {}).items() if key not in UNCOMPARED}
    status = {key: value for key, value in (made.get("status") or {}).items() if key not in CLAIM_TOLD}
    return {"metadata": metadata, "spec": made.get("spec"), "status": status}


def _finalizers(volume: Object) -> list[str]:
    return list((volume.get("metadata") or {}).get("finalizers") or ())


def _but_finalizers(volume: Object) -> tuple[object, ...]:
    metadata = volume.get("metadata") or {}
    return volume.get("spec"), metadata.get("labels"), metadata.get("annotations"), metadata.get("ownerReferences")
