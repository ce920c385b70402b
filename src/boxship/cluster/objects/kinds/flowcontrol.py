"""The rules of flowcontrol.apiserver.k8s.io: FlowSchema and PriorityLevelConfiguration.

Source: pkg/apis/flowcontrol (defaults, validation, internalbootstrap), documentation "API Priority and Fairness". The
two mandatory objects of each kind cannot be changed: without them a server could lock everybody out.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, fill, kept
from boxship.cluster.objects.rules import Rules

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
DISTINGUISHERS = ("ByNamespace", "ByUser")
LARGEST_PRECEDENCE = 10_000
LARGEST_QUEUES = 10_000_000
HASH_BITS = 60
POSITIVE = "must be positive"
NON_NEGATIVE = "must be a non-negative integer"
NAMESPACE_TEXT = "each member of this list must be '*' or a DNS-1123 label; "
Item = Mapping[str, Any]

EVERYTHING: Item = {
    "resourceRules": [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    ],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}


def _groups(*groups: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": group}} for group in groups]


# The specs that the original fixes, as they are with all defaults.
MANDATORY_SCHEMAS: Mapping[str, Object] = {
    "exempt": {
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 1,
        "rules": [{"subjects": _groups("system:masters"), **EVERYTHING}],
    },
    "catch-all": {
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": LARGEST_PRECEDENCE,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": _groups("system:unauthenticated", "system:authenticated"), **EVERYTHING}],
    },
}
MANDATORY_LEVELS: Mapping[str, Object] = {
    "exempt": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    "catch-all": {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}},
    },
}


def _default_schema(object: Object) -> None:
    spec = object.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def _validate_listed(found: Found, rule: Item, key: str, path: str, need: str, alone: str) -> Sequence[str]:
    """A list that is not empty and has nothing beside "*"; what is left to look at."""
    values = rule.get(key) or []
    if not values:
        found.required(f"{path}.{key}", need)
    elif "*" in values:
        if len(values) > 1:
            found.invalid(f"{path}.{key}", values, f"if '*' is present, must not specify other {alone}")
        return ()
    return values


def _validate_verbs(found: Found, rule: Item, path: str) -> None:
    need = "verbs must contain at least one value"
    verbs = _validate_listed(found, rule, "verbs", path, need, "verbs")
    if not set(verbs) <= set(VERBS):
        found.unsupported(f"{path}.verbs", verbs, VERBS)


def _wrong_url(path: str) -> str:
    if not path:
        return "must not be empty"
    if path == "/":
        return ""
    if not path.startswith("/"):
        return "must start with slash"
    if " " in path:
        return "must not contain white-space"
    if "//" in path:
        return "must not contain double slash"
    stars = path.count("*")
    return "wildcard can only do suffix matching" if stars > 1 or (stars and not path.endswith("/*")) else ""


def _validate_other_rule(found: Found, rule: Item, path: str) -> None:
    _validate_verbs(found, rule, path)
    need = "nonResourceURLs must contain at least one value"
    for index, url in enumerate(_validate_listed(found, rule, "nonResourceURLs", path, need, "non-resource URLs")):
        found.because(f"{path}.nonResourceURLs[{index}]", url, _wrong_url(url))


def _validate_resource_rule(found: Found, rule: Item, path: str) -> None:
    _validate_verbs(found, rule, path)
    need = "resource rules must supply at least one "
    _validate_listed(found, rule, "apiGroups", path, need + "api group", "api groups")
    _validate_listed(found, rule, "resources", path, need + "resource", "resources")
    if rule.get("namespaces") or not rule.get("clusterScope"):
        need = "resource rules that are not cluster scoped must supply at least one namespace"
        for index, name in enumerate(_validate_listed(found, rule, "namespaces", path, need, "namespaces")):
            why = names.label(name)
            found.because(f"{path}.namespaces[{index}]", name, why and NAMESPACE_TEXT + why)


def _validate_subject(found: Found, subject: Item, path: str) -> None:
    kind = subject.get("kind") or ""
    if kind not in SUBJECTS:
        found.unsupported(f"{path}.kind", kind, sorted(SUBJECTS))
        return
    for other, key in SUBJECTS.items():
        value = subject.get(key)
        if other != kind and value is not None:
            found.forbidden(f"{path}.{key}", f"{key} is forbidden when subject kind is not '{other}'")
        elif other == kind and value is None:
            found.required(f"{path}.{key}", f"{key} is required when subject kind is '{kind}'")
        elif other == kind and value is not None:
            name = value.get("name") or ""
            if not name:
                found.required(f"{path}.{key}.name")
            elif kind == "ServiceAccount" and name != "*":
                found.because(f"{path}.{key}.name", name, names.subdomain(name))
            if kind == "ServiceAccount":
                namespace = value.get("namespace") or ""
                if namespace:
                    found.because(f"{path}.{key}.namespace", namespace, names.label(namespace))
                else:
                    found.required(f"{path}.{key}.namespace", "must specify namespace for service account")


def _validate_rules(found: Found, rules: Iterable[Item]) -> None:
    for index, rule in enumerate(rules):
        path = f"spec.rules[{index}]"
        if not rule.get("subjects"):
            found.required(f"{path}.subjects", "subjects must contain at least one value")
        for number, subject in enumerate(rule.get("subjects") or ()):
            _validate_subject(found, subject, f"{path}.subjects[{number}]")
        if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
            found.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
        for number, part in enumerate(rule.get("resourceRules") or ()):
            _validate_resource_rule(found, part, f"{path}.resourceRules[{number}]")
        for number, part in enumerate(rule.get("nonResourceRules") or ()):
            _validate_other_rule(found, part, f"{path}.nonResourceRules[{number}]")


def _validate_schema(object: Object) -> Sequence[Cause]:
    found = Found()
    name, spec = object.get("metadata", {}).get("name") or "", object.get("spec") or {}
    precedence = spec.get("matchingPrecedence") or 0
    path = "spec.matchingPrecedence"
    if precedence <= 0:
        found.invalid(path, precedence, "must be a positive value")
    if precedence > LARGEST_PRECEDENCE:
        found.invalid(path, precedence, f"must not be greater than {LARGEST_PRECEDENCE}")
    if precedence == 1 and name != "exempt":
        found.invalid(path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1")
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in DISTINGUISHERS:
        found.unsupported("spec.distinguisherMethod.type", method, DISTINGUISHERS)
    level = (spec.get("priorityLevelConfiguration") or {}).get("name")
    if level:
        found.because("spec.priorityLevelConfiguration.name", level, names.subdomain(level))
    else:
        found.required("spec.priorityLevelConfiguration.name", "must reference a priority level")
    _validate_rules(found, spec.get("rules") or ())
    if name in MANDATORY_SCHEMAS and spec != MANDATORY_SCHEMAS[name]:
        found.invalid("spec", spec, f"spec of '{name}' must equal the fixed value")
    _validate_conditions(found, object)
    return found.causes


def _validate_conditions(found: Found, object: Object) -> None:
    seen = set()
    for index, condition in enumerate((object.get("status") or {}).get("conditions") or ()):
        kind = condition.get("type") or ""
        if kind in seen:
            found.duplicate(f"status.conditions[{index}].type", kind)
        seen.add(kind)
        if not kind:
            found.required(f"status.conditions[{index}].type", "must not be empty")


def _validate_status(new: Object, _: Object) -> Sequence[Cause]:
    found = Found()
    _validate_conditions(found, new)
    return found.causes


def _default_level(object: Object) -> None:
    spec = object.setdefault("spec", {})
    exempt, limited = spec.get("exempt"), spec.get("limited")
    if exempt is None and spec.get("type") == "Exempt":
        exempt = spec["exempt"] = {}
    if exempt is not None:
        fill(exempt, {"nominalConcurrencyShares": 0, "lendablePercent": 0})
    if limited is not None:
        fill(limited, {"nominalConcurrencyShares": 30, "lendablePercent": 0})
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        for key, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
            if queuing is not None and not queuing.get(key):
                queuing[key] = value


def _validate_shares(found: Found, part: Item, path: str) -> None:
    shares, lent = part.get("nominalConcurrencyShares") or 0, part.get("lendablePercent")
    if shares < 0:
        found.invalid(f"{path}.nominalConcurrencyShares", shares, NON_NEGATIVE)
    if lent is not None and not 0 <= lent <= 100:
        found.invalid(f"{path}.lendablePercent", lent, "must be between 0 and 100, inclusive")


def _validate_queues(found: Found, queuing: Item, path: str) -> None:
    limit, queues, hand = (queuing.get(key) or 0 for key in ("queueLengthLimit", "queues", "handSize"))
    if limit <= 0:
        found.invalid(f"{path}.queueLengthLimit", limit, POSITIVE)
    if queues <= 0:
        found.invalid(f"{path}.queues", queues, POSITIVE)
    elif queues > LARGEST_QUEUES:
        found.invalid(f"{path}.queues", queues, f"must not be greater than {LARGEST_QUEUES}")
    if hand <= 0:
        found.invalid(f"{path}.handSize", hand, POSITIVE)
    elif hand > queues:
        found.invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif math.ceil(math.log2(queues) * hand) > HASH_BITS:
        why = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        found.invalid(f"{path}.handSize", hand, why)


def _validate_limited(found: Found, limited: Item) -> None:
    path = "spec.limited"
    _validate_shares(found, limited, path)
    borrowed = limited.get("borrowingLimitPercent")
    if borrowed is not None and borrowed < 0:
        found.invalid(f"{path}.borrowingLimitPercent", borrowed, "if specified, must be a non-negative integer")
    response = limited.get("limitResponse") or {}
    kind, queuing = response.get("type") or "", response.get("queuing")
    at = f"{path}.limitResponse"
    if kind == "Reject":
        if queuing is not None:
            found.forbidden(f"{at}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif kind != "Queue":
        found.unsupported(f"{at}.type", kind, ("Queue", "Reject"))
    elif queuing is None:
        found.required(f"{at}.queuing", "must not be empty if limited.limitResponse.type is Limited")
    else:
        _validate_queues(found, queuing, f"{at}.queuing")


def _validate_level(object: Object) -> Sequence[Cause]:
    found = Found()
    name, spec = object.get("metadata", {}).get("name") or "", object.get("spec") or {}
    kind, exempt, limited = spec.get("type") or "", spec.get("exempt"), spec.get("limited")
    if (name == "exempt") != (kind == "Exempt"):
        found.invalid("spec.type", kind, "type must be 'Exempt' if and only if name is 'exempt'")
    if kind == "Exempt":
        if exempt is None:
            found.required("spec.exempt", "must not be empty if type is Exempt")
        else:
            _validate_shares(found, exempt, "spec.exempt")
        if limited is not None:
            found.forbidden("spec.limited", "must be nil if the type is not Limited")
    elif kind == "Limited":
        if exempt is not None:
            found.forbidden("spec.exempt", "must be nil if the type is Limited")
        if limited is None:
            found.required("spec.limited", "must not be empty when type is Limited")
        else:
            _validate_limited(found, limited)
    else:
        found.unsupported("spec.type", kind, ("Exempt", "Limited"))
    fixed = MANDATORY_LEVELS.get(name)
    if fixed is not None:
        # Of `exempt` the shares may be changed.
        same = spec == fixed if name != "exempt" else {**spec, "exempt": None} == {**fixed, "exempt": None}
        if not same:
            found.invalid("spec", spec, f"spec of '{name}' must equal the fixed value")
    _validate_conditions(found, object)
    return found.causes


def _drop_status(object: Object) -> None:
    object["status"] = {}


def _keep_status(new: Object, old: Object) -> None:
    kept(new, old, "status")


RULES: Mapping[str, Rules] = {
    "FlowSchema": Rules(
        default=_default_schema,
        prepare_create=_drop_status,
        prepare_update=_keep_status,
        validate=_validate_schema,
        validate_status=_validate_status,
        generation=True,
    ),
    "PriorityLevelConfiguration": Rules(
        default=_default_level,
        prepare_create=_drop_status,
        prepare_update=_keep_status,
        validate=_validate_level,
        validate_status=_validate_status,
        generation=True,
    ),
}
