"""The rules of resource.k8s.io."""

from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "ResourceClaim": Rules(),
    "ResourceClaimTemplate": Rules(),
    "ResourceSlice": Rules(generation=True),
    "DeviceClass": Rules(generation=True),
}
