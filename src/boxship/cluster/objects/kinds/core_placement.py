"""Where a pod may run: selectors of nodes, affinities, tolerations, spreading, gates.

Source: "Assigning Pods to Nodes", "Taints and Tolerations", "Pod Topology Spread Constraints", "Pod Scheduling
Readiness"; API reference Affinity, Toleration, TopologySpreadConstraint, NodeSelector.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import names
from boxship.cluster.objects.kinds.checking import NOT_POSITIVE, Found
from boxship.cluster.objects.kinds.metadata import validate_label_selector

Item = Mapping[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
NO_OPERATOR = "not a valid selector operator"


def validate_affinity(found: Found, affinity: Item, path: str) -> None:
    node = affinity.get("nodeAffinity")
    if node:
        if node.get(REQUIRED) is not None:
            validate_node_selector(found, node[REQUIRED], f"{path}.nodeAffinity.{REQUIRED}")
        for index, term in enumerate(node.get(PREFERRED) or ()):
            at = f"{path}.nodeAffinity.{PREFERRED}[{index}]"
            _validate_weight(found, term, at)
            _validate_node_term(found, term.get("preference") or {}, f"{at}.preference", values=False)
    for key in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(key) or {}
        for index, term in enumerate(pods.get(REQUIRED) or ()):
            _validate_pod_term(found, term, f"{path}.{key}.{REQUIRED}[{index}]")
        for index, weighted in enumerate(pods.get(PREFERRED) or ()):
            at = f"{path}.{key}.{PREFERRED}[{index}]"
            _validate_weight(found, weighted, at)
            _validate_pod_term(found, weighted.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")


def _validate_weight(found: Found, term: Item, path: str) -> None:
    weight = term.get("weight") or 0
    if not 1 <= weight <= 100:
        found.invalid(f"{path}.weight", weight, "must be in the range 1-100")


def validate_node_selector(found: Found, selector: Item, path: str) -> None:
    terms = selector.get("nodeSelectorTerms")
    if not terms:
        found.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
        return
    for index, term in enumerate(terms):
        _validate_node_term(found, term, f"{path}.nodeSelectorTerms[{index}]")


def _validate_node_term(found: Found, term: Item, path: str, *, values: bool = True) -> None:
    for index, need in enumerate(term.get("matchExpressions") or ()):
        _validate_node_label(found, need, f"{path}.matchExpressions[{index}]", values)
    for index, need in enumerate(term.get("matchFields") or ()):
        at = f"{path}.matchFields[{index}]"
        operator, key, listed = need.get("operator") or "", need.get("key") or "", need.get("values") or ()
        if operator not in ("In", "NotIn"):
            found.invalid(f"{at}.operator", operator, NO_OPERATOR)
        elif len(listed) != 1:
            why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            found.required(f"{at}.values", why)
        if key != "metadata.name":
            found.invalid(f"{at}.key", key, "not a valid field selector key")
        else:
            for place, value in enumerate(listed):
                found.because(f"{at}.values[{place}]", value, names.subdomain(value))


def _validate_node_label(found: Found, need: Item, path: str, values: bool) -> None:
    operator, listed = need.get("operator") or "", need.get("values") or ()
    if operator in ("In", "NotIn"):
        if not listed:
            found.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if listed:
            found.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt"):
        if len(listed) != 1:
            found.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        found.invalid(f"{path}.operator", operator, NO_OPERATOR)
    key = need.get("key") or ""
    found.because(f"{path}.key", key, names.qualified(key))
    if values:
        for index, value in enumerate(listed):
            found.because(f"{path}.values[{index}]", value, names.label_value(value))


def _validate_pod_term(found: Found, term: Item, path: str) -> None:
    selector = term.get("labelSelector")
    validate_label_selector(found, selector, f"{path}.labelSelector")
    validate_label_selector(found, term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for namespace in term.get("namespaces") or ():
        found.because(f"{path}.namespace", namespace, names.label(namespace))
    matched, unmatched = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    for key, listed in (("matchLabelKeys", matched), ("mismatchLabelKeys", unmatched)):
        if listed and selector is None:
            found.forbidden(f"{path}.{key}", "must not be specified when labelSelector is not set")
        elif listed:
            for index, label in enumerate(listed):
                found.because(f"{path}.{key}[{index}]", label, names.qualified(label))
    if selector is not None and matched:
        seen = set(selector.get("matchLabels") or ())
        for need in selector.get("matchExpressions") or ():
            if need.get("key") in matched and need["key"] in seen:
                at = f"{path}[{list(matched).index(need['key'])}]"
                found.invalid(at, need["key"], "exists in both matchLabelKeys and labelSelector")
            seen.add(need.get("key"))
    for index, label in enumerate(matched):
        if label in unmatched:
            why = "exists in both matchLabelKeys and mismatchLabelKeys"
            found.invalid(f"{path}.matchLabelKeys[{index}]", label, why)
    topology = term.get("topologyKey") or ""
    if not topology:
        found.required(f"{path}.topologyKey", "can not be empty")
    found.because(f"{path}.topologyKey", topology, names.qualified(topology))


def validate_tolerations(found: Found, tolerations: Iterable[Item], path: str) -> None:
    for index, toleration in enumerate(tolerations):
        at = f"{path}[{index}]"
        key, operator = toleration.get("key") or "", toleration.get("operator") or ""
        value, effect = toleration.get("value") or "", toleration.get("effect") or ""
        if key:
            found.because(f"{at}.key", key, names.qualified(key))
        elif operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.invalid(f"{at}.operator", operator, why)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            found.invalid(f"{at}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
        if operator in ("Equal", ""):
            found.because(f"{at}.operator", value, names.label_value(value))
        elif operator == "Exists":
            if value:
                found.invalid(f"{at}.operator", value, "value must be empty when `operator` is 'Exists'")
        else:
            found.unsupported(f"{at}.operator", operator, ("Equal", "Exists"))
        if effect:
            validate_effect(found, effect, f"{at}.effect")


def validate_effect(found: Found, effect: str, path: str) -> None:
    if not effect:
        found.required(path)
    elif effect not in EFFECTS:
        found.unsupported(path, effect, EFFECTS)


def validate_spreading(found: Found, constraints: Sequence[Item], path: str) -> None:
    for index, constraint in enumerate(constraints):
        at = f"{path}[{index}]"
        skew, key = constraint.get("maxSkew") or 0, constraint.get("topologyKey") or ""
        action = constraint.get("whenUnsatisfiable") or ""
        if skew <= 0:
            found.invalid(f"{at}.maxSkew", skew, NOT_POSITIVE)
        if not key:
            found.required(f"{at}.topologyKey", "can not be empty")
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            found.unsupported(f"{at}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        for later in constraints[index + 1 :]:
            if (later.get("topologyKey") or "", later.get("whenUnsatisfiable") or "") == (key, action):
                found.duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
                break
        domains = constraint.get("minDomains")
        if domains is not None:
            if domains <= 0:
                found.invalid(f"{at}.minDomains", domains, NOT_POSITIVE)
            if action != "DoNotSchedule":
                why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                found.invalid(f"{at}.minDomains", domains, why)
        for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(policy) not in (None, "Honor", "Ignore"):
                found.unsupported(f"{at}.{policy}", constraint[policy], ("Honor", "Ignore"))
        _validate_spread_keys(found, constraint, at)
        validate_label_selector(found, constraint.get("labelSelector"), f"{at}.labelSelector")


def _validate_spread_keys(found: Found, constraint: Item, path: str) -> None:
    listed = constraint.get("matchLabelKeys")
    if not listed:
        return
    selector = constraint.get("labelSelector")
    if selector is None:
        found.forbidden(f"{path}.matchLabelKeys", "must not be specified when labelSelector is not set")
    taken = dict.fromkeys((selector or {}).get("matchLabels") or (), 1)
    for need in (selector or {}).get("matchExpressions") or ():
        # One of them came from the key itself when the pod was made.
        own = need.get("operator") == "In" and len(need.get("values") or ()) == 1 and need.get("key") in listed
        key = need.get("key")
        taken[key] = taken.get(key, -1 if own else 0) + 1
    for index, label in enumerate(listed):
        found.because(f"{path}.matchLabelKeys[{index}]", label, names.qualified(label))
        if taken.get(label, 0) > 0:
            why = "exists in both matchLabelKeys and labelSelector"
            found.invalid(f"{path}.matchLabelKeys[{index}]", label, why)


def validate_gates(found: Found, gates: Sequence[Item], path: str) -> None:
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name") or ""
        found.because(f"{path}[{index}]", name, names.qualified(name))
        if name in seen:
            found.duplicate(f"{path}[{index}]", name)
        seen.add(name)
