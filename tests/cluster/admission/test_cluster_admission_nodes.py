"""NodeRestriction: what somebody with a node's certificate tries, and is refused."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from cluster_admission_kit import Known, named, write

from boxship.cluster.api.admission import Attributes
from boxship.cluster.api.admission.node_restriction import NodeRestriction
from boxship.cluster.api.request import User
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

NODE = User("system:node:one", ("system:nodes", "system:authenticated"))
MIRROR = {"kubernetes.io/config.mirror": "x"}
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "one", "uid": "u1", "controller": True}


@pytest.fixture
def known() -> Known:
    token = {"serviceAccountToken": {"path": "token"}}
    other = {"serviceAccountToken": {"path": "vault", "audience": "vault"}}
    volumes = [{"name": "a", "projected": {"sources": [token, other]}}]
    here = named("here", "default", metadata={"uid": "p1"}, spec={"nodeName": "one", "volumes": volumes})
    there = named("there", "default", metadata={"uid": "p2"}, spec={"nodeName": "two", "volumes": volumes})
    return Known().put("v1/pods", here, there).put("v1/nodes", named("one", metadata={"uid": "u1"}))


def by_node(path: str, made: Object | None, **more: Any) -> Attributes:
    return write(path, made, user=NODE, **more)


def update(path: str, old: Object, change: Callable[[Object], Any], subresource: str = "") -> Attributes:
    new = copy.deepcopy(old)
    change(new)
    return by_node(path, new, old=old, operation="UPDATE", subresource=subresource)


async def refused(known: Known, attributes: Attributes, why: str) -> None:
    with pytest.raises(Failure) as failure:
        await NodeRestriction(known).validate(attributes)
    assert failure.value.code == 403 and why in str(failure.value)


def mirror(**more: Any) -> Object:
    spec = {"nodeName": "one", "containers": [{"name": "c"}], **more.pop("spec", {})}
    metadata = {"annotations": MIRROR, "ownerReferences": [OWNER], **more.pop("metadata", {})}
    return named("m", "default", metadata=metadata, spec=spec)


async def test_a_mirror_is_a_picture_and_opens_nothing(known: Known) -> None:
    await NodeRestriction(known).validate(by_node("v1/pods", mirror()))
    reference = {"secretKeyRef": {"name": "s", "key": "k"}}
    config = {"configMapRef": {"name": "m"}}
    wrong: list[tuple[Object, str]] = [
        (mirror(metadata={"annotations": {}}), "can only create mirror pods"),
        (mirror(spec={"nodeName": "two"}), "spec.nodeName set to itself"),
        (mirror(spec={"serviceAccountName": "admin"}), "reference serviceaccounts"),
        (mirror(spec={"imagePullSecrets": [{"name": "s"}]}), "reference secrets"),
        (mirror(spec={"containers": [{"name": "c", "env": [{"valueFrom": reference}]}]}), "reference secrets"),
        (mirror(spec={"initContainers": [{"name": "c", "envFrom": [config]}]}), "reference configmaps"),
        (mirror(spec={"resourceClaims": [{"name": "r", "resourceClaimName": "gpu"}]}), "reference resourceclaims"),
        (mirror(spec={"volumes": [{"name": "v", "projected": {"sources": []}}]}), "reference projected volumes"),
        (mirror(spec={"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}), "persistentvolumecl"),
        (mirror(metadata={"ownerReferences": []}), "an owner reference set to itself"),
        (mirror(metadata={"ownerReferences": [OWNER, OWNER]}), "a single owner reference set to itself"),
        (mirror(metadata={"ownerReferences": [{**OWNER, "name": "two"}]}), "an owner reference set to itself"),
        (mirror(metadata={"ownerReferences": [{**OWNER, "kind": "Secret"}]}), "an owner reference set to itself"),
        (mirror(metadata={"ownerReferences": [{**OWNER, "controller": False}]}), "a controller owner reference"),
        (mirror(metadata={"ownerReferences": [{**OWNER, "blockOwnerDeletion": True}]}), "blockOwnerDeletion"),
        (mirror(metadata={"ownerReferences": [{**OWNER, "uid": "u2"}]}), "UID mismatch: expected u2 got u1"),
    ]
    for made, why in wrong:
        await refused(known, by_node("v1/pods", made), why)


async def test_pods_are_told_of_and_not_changed(known: Known) -> None:
    here, there = known.objects["v1/pods"]
    running: Callable[[Object], Any] = lambda pod: pod.update(status={"phase": "Running"})  # noqa: E731
    await NodeRestriction(known).validate(update("v1/pods", here, running, "status"))
    await refused(known, update("v1/pods", there, running, "status"), "can only update pod status for pods with")
    labelled = update("v1/pods", here, lambda pod: pod["metadata"].update(labels={"app": "db"}), "status")
    await refused(known, labelled, "cannot update labels through pod status")
    claims = [{"name": "r", "resourceClaimName": "theirs"}]
    claiming = update("v1/pods", here, lambda pod: pod.update(status={"resourceClaimStatuses": claims}), "status")
    await refused(known, claiming, "cannot update resource claim statuses")
    for subresource in ("", "ephemeralcontainers", "resize", "binding"):
        await refused(known, update("v1/pods", here, running, subresource), "unexpected pod subresource")
    await NodeRestriction(known).validate(by_node("v1/pods", None, old=here, operation="DELETE"))
    await refused(known, by_node("v1/pods", None, old=there, operation="DELETE"), "can only delete pods with")
    await refused(known, by_node("v1/pods", named("there"), subresource="eviction"), "can only evict pods with")


@pytest.mark.parametrize("subresource", ["", "status"])
async def test_a_node_stays_what_administrators_made_of_it(known: Known, subresource: str) -> None:
    taints = [{"key": "dedicated", "effect": "NoSchedule"}]
    node = named("one", metadata={"labels": {"node-role.kubernetes.io/worker": ""}}, spec={"taints": taints})
    metadata: Callable[..., Callable[[Object], Any]] = lambda **more: lambda made: made["metadata"].update(more)  # noqa: E731
    plugin = NodeRestriction(known)
    own = {"node-role.kubernetes.io/worker": "", "topology.kubernetes.io/zone": "a", "mine": "x"}
    await plugin.validate(update("v1/nodes", node, metadata(labels=own), subresource))
    restricted = ("node-restriction.kubernetes.io/pci", "x.node-restriction.kubernetes.io/a", "kubernetes.io/role")
    for key in (*restricted, "node-role.kubernetes.io/control-plane"):
        made = update("v1/nodes", node, metadata(labels={**own, key: ""}), subresource)
        await refused(known, made, f"is not allowed to modify labels: {key}")
    without = update("v1/nodes", node, metadata(labels={}), subresource)
    await refused(known, without, "is not allowed to modify labels: node-role.kubernetes.io/worker")
    owned = update("v1/nodes", node, metadata(ownerReferences=[{**OWNER, "kind": "ConfigMap"}]), subresource)
    await refused(known, owned, "is not allowed to modify ownerReferences")
    if not subresource:
        bare = update("v1/nodes", node, lambda made: made["spec"].pop("taints"), subresource)
        await refused(known, bare, "is not allowed to modify taints")


async def test_what_all_nodes_send_to_it_is_not_its_choice(known: Known) -> None:
    await NodeRestriction(known).validate(by_node("v1/nodes", named("one", spec={})))
    taken = named("one", spec={"podCIDR": "10.244.9.0/24", "podCIDRs": ["10.244.9.0/24"]})
    await refused(known, by_node("v1/nodes", taken), "is not allowed to modify podCIDRs")
    later = update("v1/nodes", named("one", spec={}), lambda made: made["spec"].update(podCIDRs=["8.8.8.0/24"]))
    await refused(known, later, "is not allowed to modify podCIDRs")
    await NodeRestriction(known).validate(update("v1/nodes", taken, lambda made: made["metadata"].update(labels={})))


async def test_other_nodes_are_not_its_own(known: Known) -> None:
    await refused(known, update("v1/nodes", named("two"), lambda _: None), 'not allowed to modify node "two"')
    await refused(known, by_node("v1/nodes", None, old=named("one"), operation="DELETE"), "not allowed to delete nodes")
    await refused(known, by_node("storage.k8s.io/v1/csinodes", named("two")), "can only access CSINode with the same")
    lease = "coordination.k8s.io/v1/leases"
    await NodeRestriction(known).validate(by_node(lease, named("one"), namespace="kube-node-lease"))
    await refused(known, by_node(lease, named("two"), namespace="kube-node-lease"), "can only access node lease with")
    await refused(known, by_node(lease, named("one"), namespace="kube-system"), "can only access leases in the")
    made = named("s", spec={"nodeName": "two"})
    await refused(known, by_node("resource.k8s.io/v1/resourceslices", made), "can only access ResourceSlice with")
    nameless = User("system:node:", ("system:nodes",))
    await refused(known, write("v1/pods", mirror(), user=nameless), "could not determine node from user")


def token(pod: str, uid: str, *audiences: str) -> Attributes:
    spec = {"audiences": list(audiences), "boundObjectRef": {"kind": "Pod", "name": pod, "uid": uid}}
    return by_node("v1/serviceaccounts", named("admin", "default", spec=spec), subresource="token")


async def test_tokens_are_for_pods_here_and_for_whom_these_say(known: Known) -> None:
    for audiences in ((), ("vault",)):
        await NodeRestriction(known).validate(token("here", "p1", *audiences))
    await refused(known, token("here", "p1", "bank"), 'audience "bank" not found in pod spec volume')
    await refused(known, token("here", "p1", "vault", "bank"), "node may only request 0 or 1 audiences")
    await refused(known, token("here", "p9"), "bound to a pod that is not there")
    await refused(known, token("there", "p2"), "bound to a pod scheduled on a different node")
    unbound = by_node("v1/serviceaccounts", named("admin", "default", spec={}), subresource="token")
    await refused(known, unbound, "node requested token not bound to a pod")


async def test_of_a_claim_only_its_size_is_told(known: Known) -> None:
    claim = named("c", "default", spec={"volumeName": "v"}, status={"phase": "Bound"})
    path = "v1/persistentvolumeclaims"
    grown = update(path, claim, lambda made: made["status"].update(capacity={"storage": "2Gi"}), "status")
    await NodeRestriction(known).validate(grown)
    for change in (
        lambda made: made["metadata"].update(labels={"a": "b"}),
        lambda made: made["spec"].update(volumeName="w"),
        lambda made: made["status"].update(phase="Lost"),
    ):
        await refused(known, update(path, claim, change, "status"), "may not update fields other than")
    await refused(known, update(path, claim, lambda _: None), "can only update the status of")
    await refused(known, by_node(path, claim), "can only update the status of")


async def test_of_a_volume_only_that_its_folder_is_gone(known: Known) -> None:
    ours = "boxship.io/local-volume"
    volume = named("v", metadata={"finalizers": ["kubernetes.io/pv-protection", ours]}, spec={"claimRef": {}})
    path = "v1/persistentvolumes"
    gone = update(path, volume, lambda made: made["metadata"].update(finalizers=["kubernetes.io/pv-protection"]))
    await NodeRestriction(known).validate(gone)
    for change in (
        lambda made: made["metadata"].update(finalizers=[]),
        lambda made: made["metadata"].update(labels={"a": "b"}),
        lambda made: made["spec"].update(claimRef={"name": "theirs"}),
    ):
        await refused(known, update(path, volume, change), "can only take the finalizer")
