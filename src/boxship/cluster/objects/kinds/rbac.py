"""The rules of rbac.authorization.k8s.io: roles and their bindings.

Source: pkg/apis/rbac (defaults, validation), documentation "Using RBAC Authorization". Whether somebody may give what a
role gives is asked by the API (escalation), not here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found
from boxship.cluster.objects.kinds.metadata import validate_label_selector
from boxship.cluster.objects.rules import Rules

GROUP = "rbac.authorization.k8s.io"
SUBJECTS = ("ServiceAccount", "User", "Group")
Item = Mapping[str, Any]


def _validate_rule(found: Found, rule: Item, path: str, namespaced: bool) -> None:
    if not rule.get("verbs"):
        found.required(f"{path}.verbs", "verbs must contain at least one value")
    urls, resources = rule.get("nonResourceURLs"), rule.get("resources")
    if urls:
        if namespaced:
            why = "namespaced rules cannot apply to non-resource URLs"
            found.invalid(f"{path}.nonResourceURLs", urls, why)
        if rule.get("apiGroups") or resources or rule.get("resourceNames"):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            found.invalid(f"{path}.nonResourceURLs", urls, why)
        return
    if not rule.get("apiGroups"):
        found.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not resources:
        found.required(f"{path}.resources", "resource rules must supply at least one resource")


def _validate_role(namespaced: bool) -> Callable[[Object], Sequence[Cause]]:
    def validate(role: Object) -> Sequence[Cause]:
        found = Found()
        for index, rule in enumerate(role.get("rules") or ()):
            _validate_rule(found, rule, f"rules[{index}]", namespaced)
        aggregation = role.get("aggregationRule")
        if aggregation is not None and not namespaced:
            path = "aggregationRule.clusterRoleSelectors"
            selectors = aggregation.get("clusterRoleSelectors") or ()
            if not selectors:
                found.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
            for index, selector in enumerate(selectors):
                validate_label_selector(found, selector, f"{path}[{index}]")
        return found.causes

    return validate


def _validate_subject(found: Found, subject: Item, path: str, namespaced: bool) -> None:
    name, kind, group = subject.get("name") or "", subject.get("kind") or "", subject.get("apiGroup") or ""
    if not name:
        found.required(f"{path}.name")
    if kind == "ServiceAccount":
        if name:
            found.because(f"{path}.name", name, names.subdomain(name))
        if group:
            found.unsupported(f"{path}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            found.required(f"{path}.namespace")
    elif kind in SUBJECTS:
        if not name:
            found.invalid(f"{path}.name", name, f"{kind.lower()} name cannot be empty")
        if group != GROUP:
            found.unsupported(f"{path}.apiGroup", group, (GROUP,))
    else:
        found.unsupported(f"{path}.kind", kind, SUBJECTS)


def _validate_binding(namespaced: bool) -> Callable[[Object], Sequence[Cause]]:
    kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)

    def validate(binding: Object) -> Sequence[Cause]:
        found = Found()
        role = binding.get("roleRef") or {}
        group, kind, name = (role.get(key) or "" for key in ("apiGroup", "kind", "name"))
        if group != GROUP:
            found.unsupported("roleRef.apiGroup", group, (GROUP,))
        if kind not in kinds:
            found.unsupported("roleRef.kind", kind, kinds)
        if name:
            found.because("roleRef.name", name, names.path_segment(name))
        else:
            found.required("roleRef.name")
        for index, subject in enumerate(binding.get("subjects") or ()):
            _validate_subject(found, subject, f"subjects[{index}]", namespaced)
        return found.causes

    return validate


def _validate_binding_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    if new.get("roleRef") != old.get("roleRef"):
        found.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")
    return found.causes


def _default_binding(binding: Object) -> None:
    role = binding.get("roleRef")
    if role is not None and not role.get("apiGroup"):
        role["apiGroup"] = GROUP
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = GROUP


def _role(namespaced: bool) -> Rules:
    return Rules(validate=_validate_role(namespaced), validate_name=names.path_segment, create_on_update=True)


def _binding(namespaced: bool) -> Rules:
    return Rules(
        default=_default_binding,
        validate=_validate_binding(namespaced),
        validate_update=_validate_binding_update,
        validate_name=names.path_segment,
        create_on_update=True,
    )


RULES: Mapping[str, Rules] = {
    "Role": _role(True),
    "ClusterRole": _role(False),
    "RoleBinding": _binding(True),
    "ClusterRoleBinding": _binding(False),
}
