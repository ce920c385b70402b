"""The rules of networking.k8s.io."""

from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "Ingress": Rules(generation=True),
    "IngressClass": Rules(generation=True),
    "NetworkPolicy": Rules(generation=True),
    "IPAddress": Rules(),
    "ServiceCIDR": Rules(),
}
