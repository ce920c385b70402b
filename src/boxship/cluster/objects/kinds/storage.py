"""The rules of storage.k8s.io."""

from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "StorageClass": Rules(),
    "CSIDriver": Rules(generation=True, needs_version=True),
    "CSINode": Rules(),
    "VolumeAttachment": Rules(),
    "VolumeAttributesClass": Rules(),
    "CSIStorageCapacity": Rules(),
}
