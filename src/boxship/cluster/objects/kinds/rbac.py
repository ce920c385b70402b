"""The rules of rbac.authorization.k8s.io."""

from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

RULES: Mapping[str, Rules] = {
    "Role": Rules(create_on_update=True),
    "ClusterRole": Rules(create_on_update=True),
    "RoleBinding": Rules(create_on_update=True),
    "ClusterRoleBinding": Rules(create_on_update=True),
}
