"""Words for writing roles down: one line a rule. Pure."""

from collections.abc import Sequence
from typing import Any

from boxship.cluster.objects import Object

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
READ_WRITE = "create delete deletecollection get list patch update watch"
API_GROUP = "rbac.authorization.k8s.io"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
CORE = ""

RuleObject = dict[str, Any]


def may(verbs: str, groups: str, resources: str, names: str = "") -> RuleObject:
    """A rule for resources; lists are words. The core group is "" or the word "core" among others."""
    rule: RuleObject = {
        "verbs": verbs.split(),
        "apiGroups": [CORE if group == "core" else group for group in groups.split()] or [CORE],
        "resources": resources.split(),
    }
    if names:
        rule["resourceNames"] = names.split()
    return rule


def may_get(*paths: str) -> RuleObject:
    return {"verbs": ["get"], "nonResourceURLs": list(paths)}


EVENTS = may("create patch update", "core events.k8s.io", "events")


def cluster_role(name: str, *rules: RuleObject, labels: dict[str, str] | None = None, gathers: str = "") -> Object:
    """A ClusterRole. With `gathers` its rules come from the roles that bear this label."""
    role: Object = {"apiVersion": f"{API_GROUP}/v1", "kind": "ClusterRole", "metadata": _metadata(name, labels=labels)}
    if gathers:
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {gathers: "true"}}]}
    role["rules"] = list(rules)
    return role


def role(namespace: str, name: str, *rules: RuleObject) -> Object:
    metadata = _metadata(name, namespace)
    return {"apiVersion": f"{API_GROUP}/v1", "kind": "Role", "metadata": metadata, "rules": list(rules)}


def bound(name: str, *subjects: Object, to: str = "") -> Object:
    """A ClusterRoleBinding to the ClusterRole of the same name, or of the name `to`."""
    return _binding("ClusterRoleBinding", _metadata(name), "ClusterRole", to or name, subjects)


def bound_in(namespace: str, name: str, *subjects: Object, to: str = "") -> Object:
    """A RoleBinding to a Role of the same namespace."""
    return _binding("RoleBinding", _metadata(name, namespace), "Role", to or name, subjects)


def user(name: str) -> Object:
    return {"apiGroup": API_GROUP, "kind": "User", "name": name}


def group(name: str) -> Object:
    return {"apiGroup": API_GROUP, "kind": "Group", "name": name}


def account(name: str, namespace: str = "kube-system") -> Object:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def _binding(kind: str, metadata: Object, role_kind: str, role_name: str, subjects: Sequence[Object]) -> Object:
    return {
        "apiVersion": f"{API_GROUP}/v1",
        "kind": kind,
        "metadata": metadata,
        "roleRef": {"apiGroup": API_GROUP, "kind": role_kind, "name": role_name},
        "subjects": list(subjects),
    }


def _metadata(name: str, namespace: str = "", labels: dict[str, str] | None = None) -> Object:
    metadata: Object = {"name": name, "labels": {**LABELS, **(labels or {})}, "annotations": {AUTOUPDATE: "true"}}
    if namespace:
        metadata["namespace"] = namespace
    return metadata
