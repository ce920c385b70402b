"""The rules of flowcontrol.apiserver.k8s.io."""

from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "FlowSchema": Rules(generation=True),
    "PriorityLevelConfiguration": Rules(generation=True),
}
