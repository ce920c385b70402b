"""Which webhook, or policy, a write concerns: rules, scopes, selectors. Pure, but for the labels of the namespace.

Source: admissionregistration.k8s.io/v1, RuleWithOperations, MatchResources.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.api.admission import Attributes
from boxship.cluster.objects import Object
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.selectors import of_object

GROUP = "admissionregistration.k8s.io"
# What may never be stopped by a webhook or a policy: the way to take a broken one away.
SPARED = frozenset(
    f"{each}{what}"
    for each in ("validating", "mutating")
    for what in ("webhookconfigurations", "admissionpolicies", "admissionpolicybindings")
)
Others = Callable[[Resource], Sequence[Resource]]  # the same objects in their other served versions


class Match(msgspec.Struct, frozen=True):
    """The version in which a webhook wants the write: the request's own, or an equivalent one."""

    resource: Resource


def find(rules: Iterable[Mapping[str, Any]], attributes: Attributes, policy: str, others: Others) -> Match | None:
    """The first rule that the write fits. With `policy` Equivalent, a rule for another version of the same objects
    fits too, and they are converted to it."""
    rules = list(rules)
    resource = attributes.request.resource
    if any(_fits(rule, attributes, resource) for rule in rules):
        return Match(resource)
    if policy == "Equivalent":
        for other in others(resource):
            if any(_fits(rule, attributes, other) for rule in rules):
                return Match(other)
    return None


def _fits(rule: Mapping[str, Any], attributes: Attributes, resource: Resource) -> bool:
    operations = rule.get("operations") or ()
    names = rule.get("resourceNames") or ()
    return (
        ("*" in operations or attributes.operation in operations)
        and _has(rule.get("apiGroups") or (), resource.group)
        and _has(rule.get("apiVersions") or (), resource.version)
        and any(
            _is_resource(text, resource.plural, attributes.request.subresource) for text in rule.get("resources") or ()
        )
        and _in_scope(rule.get("scope") or "*", attributes, resource)
        and (not names or attributes.name in names)
    )


def _has(values: Sequence[str], value: str) -> bool:
    return "*" in values or value in values


def _is_resource(text: str, plural: str, subresource: str) -> bool:
    """ "pods", "pods/status", "pods/*", "*/scale", "*" (no subresource), "*/*"."""
    name, slash, below = text.partition("/")
    if name not in ("*", plural):
        return False
    return below in ("*", subresource) if slash else not subresource


def _in_scope(scope: str, attributes: Attributes, resource: Resource) -> bool:
    if scope == "*":
        return True
    is_namespace = resource.group == "" and resource.plural == "namespaces"
    namespaced = bool(attributes.request.namespace) and not is_namespace
    return namespaced == (scope == "Namespaced")


def selects_objects(selector: Object | None, attributes: Attributes) -> bool:
    """Whether the new or the old object has the labels."""
    if not selector:
        return True
    wanted = of_object(selector)
    objects = [made for made in (attributes.object, attributes.old) if made is not None]
    return any(wanted.matches((made.get("metadata") or {}).get("labels") or {}) for made in objects)


def needs_namespace(selector: Object | None) -> bool:
    return selector is not None and bool(selector.get("matchLabels") or selector.get("matchExpressions"))


def selects_namespace(selector: Object | None, labels: Mapping[str, str] | None) -> bool:
    """`labels` of the object's namespace (for a Namespace its own), or None for other objects without one: these are
    never left out by the selector."""
    return not selector or labels is None or of_object(selector).matches(labels)
