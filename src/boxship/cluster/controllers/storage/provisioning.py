"""A volume in a local folder of a node: what a claim and its class ask for, as an object. Pure.

Source: kubernetes.io, "Storage Classes", "Dynamic Volume Provisioning", "Volumes" (local). The folder is made and
removed by the node that the label names; the finalizer keeps the volume until it is gone.
"""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.controllers.storage import matching
from boxship.cluster.objects import Object

PROVISIONER = "boxship.io/local"
NODE_LABEL = "boxship.io/local-volume-node"  # by which a node finds its own
FINALIZER = "boxship.io/local-volume"
FOLDER = "boxship.io/local-volumes"  # the annotation in which a node tells its folder
HOSTNAME = "kubernetes.io/hostname"


def refusal(claim: Object, class_: Object) -> str:
    """What nobody can make, by its name; "" where there is nothing."""
    spec = claim["spec"]
    if spec.get("selector") is not None:
        return "claim.Spec.Selector is not supported"
    if spec.get("volumeMode") == "Block":
        return "unsupported: volumeMode Block"
    for key in ("dataSource", "dataSourceRef", "volumeAttributesClassName"):
        if spec.get(key):
            return f"unsupported: {key}"
    for key in class_.get("parameters") or {}:
        return f"unsupported: StorageClass parameters.{key}"
    if class_.get("mountOptions"):
        return "unsupported: StorageClass mountOptions"
    return ""


def volume_for(claim: Object, class_: Object, node: Object) -> Object:
    """The node has told its folder."""
    metadata, spec = claim["metadata"], claim["spec"]
    name = name_for(claim)
    hostname = (node["metadata"].get("labels") or {}).get(HOSTNAME) or node["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "labels": {NODE_LABEL: node["metadata"]["name"]},
            "annotations": {matching.PROVISIONED_BY: PROVISIONER},
            "finalizers": [FINALIZER],
        },
        "spec": {
            "capacity": {"storage": matching.wanted_size(claim).text},
            "accessModes": list(spec.get("accessModes") or ()),
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": class_.get("reclaimPolicy") or "Delete",
            "storageClassName": class_["metadata"]["name"],
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "local": {"path": f"{folder_of(node)}/{name}"},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [hostname]}]}
                    ]
                }
            },
        },
    }


def name_for(claim: Object) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def folder_of(node: Object) -> str:
    """Where a node keeps such volumes, "" where it does not say."""
    return str(matching.annotations_of(node).get(FOLDER) or "").rstrip("/")


def free_choice(nodes: Mapping[str, Object], class_: Object, counts: Mapping[str, int]) -> str:
    """The node for a claim that waits for nobody: one that can, with the fewest volumes. "" for none."""
    able = [name for name, node in nodes.items() if folder_of(node) and _is_allowed(node, class_)]
    return min(able, key=lambda name: (counts.get(name, 0), name), default="")


def _is_allowed(node: Object, class_: Object) -> bool:
    labels: Mapping[str, str] = node["metadata"].get("labels") or {}
    terms = class_.get("allowedTopologies") or ()

    def holds(term: Mapping[str, Any]) -> bool:
        needs = term.get("matchLabelExpressions") or ()
        return all(labels.get(need["key"]) in (need.get("values") or ()) for need in needs)

    return not terms or any(holds(term) for term in terms)
