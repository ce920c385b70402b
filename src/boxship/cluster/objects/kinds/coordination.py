"""The rules of coordination.k8s.io."""

from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "Lease": Rules(create_on_update=True),
}
