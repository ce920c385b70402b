"""PersistentVolumeClaimResize: a claim grows only where somebody can make its volume grow.

Source: kubernetes.io, "Admission Controllers Reference"; "Persistent Volumes" (expanding claims).
"""

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import forbidden
from boxship.cluster.objects.quantity import Quantity, parse

CLAIMS, CLASSES = "v1/persistentvolumeclaims", "storage.k8s.io/v1/storageclasses"
LEGACY_CLASS = "volume.beta.kubernetes.io/storage-class"
NOT_BOUND = "Only bound persistent volume claims can be expanded"
NOT_ALLOWED = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)


class PersistentVolumeClaimResize:
    """Implements Plugin."""

    name = "PersistentVolumeClaimResize"

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def admit(self, attributes: Attributes) -> None:
        return None

    async def validate(self, attributes: Attributes) -> None:
        request, claim, old = attributes.request, attributes.object, attributes.old
        if attributes.operation != "UPDATE" or request.resource.path != CLAIMS or request.subresource:
            return
        if claim is None or old is None or _size(claim) <= _size(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise forbidden(request.resource, attributes.name, NOT_BOUND)
        annotated = (claim["metadata"].get("annotations") or {}).get(LEGACY_CLASS)
        found = await self._lookup.get(CLASSES, "", annotated or claim["spec"].get("storageClassName") or "")
        if found is None or not found.get("allowVolumeExpansion"):
            raise forbidden(request.resource, attributes.name, NOT_ALLOWED)


def _size(claim: Object) -> Quantity:
    return parse((((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage") or 0)
