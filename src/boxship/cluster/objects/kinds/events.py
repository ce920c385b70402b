"""The rules of events.k8s.io."""

from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "Event": Rules(create_on_update=True),
}
