"""Claims, volumes, classes and nodes for tests of storage."""

from typing import Any

from boxship.cluster.objects import Object

CLAIMS, VOLUMES, NODES = "v1/persistentvolumeclaims", "v1/persistentvolumes", "v1/nodes"
CLASSES = "storage.k8s.io/v1/storageclasses"


def claim(name: str = "c", size: str = "1Gi", *, annotations: Any = None, **spec: Any) -> Object:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    metadata = {"name": name, "namespace": "default", **({"annotations": annotations} if annotations else {})}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": wanted}


def volume(name: str = "v", size: str = "1Gi", *, labels: Any = None, **spec: Any) -> Object:
    offered = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": f"/volumes/{name}"},
        **spec,
    }
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": offered}


def storage_class(name: str, provisioner: str = "kubernetes.io/no-provisioner", **fields: Any) -> Object:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if fields.pop("default", False) else {}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": annotations},
        "provisioner": provisioner,
        "volumeBindingMode": "Immediate",
        **fields,
    }


def node(name: str, folder: str = "/data/local-volumes") -> Object:
    metadata: Object = {"name": name, "labels": {"kubernetes.io/hostname": name}}
    if folder:
        metadata["annotations"] = {"boxship.io/local-volumes": folder}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


def stored(object: Object, uid: str, **status: Any) -> Object:
    """As the API would have it."""
    metadata = {**object["metadata"], "uid": uid, "resourceVersion": "1"}
    return {**object, "metadata": metadata, "status": {"phase": "Pending", **status}}
