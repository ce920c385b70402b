"""The rules of discovery.k8s.io."""

from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "EndpointSlice": Rules(generation=True),
}
