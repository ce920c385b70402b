"""The rules of scheduling.k8s.io."""

from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "PriorityClass": Rules(generation=True),
}
