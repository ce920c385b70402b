"""The rules of resource.k8s.io: claims and classes of devices, and the slices in which drivers list them."""

from collections.abc import Mapping

from boxship.cluster.objects.kinds.resource_claims import CLAIM, CLASS, TEMPLATE
from boxship.cluster.objects.kinds.resource_slices import SLICE
from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "ResourceClaim": CLAIM,
    "ResourceClaimTemplate": TEMPLATE,
    "ResourceSlice": SLICE,
    "DeviceClass": CLASS,
}
