"""The rules of authentication.k8s.io and authorization.k8s.io: questions that are answered and not stored.

Source: pkg/apis/authorization/validation, pkg/apis/authentication/validation, pkg/registry/authentication and
authorization. The answers are the API's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause, bad_request
from boxship.cluster.objects.kinds.checking import Found, fill
from boxship.cluster.objects.rules import Rules

LEAST_SECONDS, MOST_SECONDS = 600, 1 << 32
Item = Mapping[str, Any]


def _validate_selectors(found: Found, attributes: Item, path: str) -> None:
    """Either the text of a selector or its requirements."""
    for key, operators in (
        ("fieldSelector", ("In", "NotIn", "Exists", "DoesNotExist")),
        ("labelSelector", ("In", "NotIn", "Exists", "DoesNotExist")),
    ):
        selector = attributes.get(key)
        if selector is None:
            continue
        at = f"{path}.{key}"
        raw, requirements = selector.get("rawSelector"), selector.get("requirements") or ()
        if raw and requirements:
            found.invalid(f"{at}.rawSelector", raw, "may not specified at the same time as requirements")
        if not raw and not requirements:
            found.required(f"{at}.requirements", f"when {at} is specified, requirements or rawSelector is required")
        for index, term in enumerate(requirements):
            place = f"{at}.requirements[{index}]"
            operator, values = term.get("operator") or "", term.get("values") or ()
            if not term.get("key"):
                found.required(f"{place}.key", "must be specified")
            if operator not in operators:
                found.invalid(f"{place}.operator", operator, "not a valid selector operator")
            elif operator in ("In", "NotIn") and not values:
                found.required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'")
            elif operator not in ("In", "NotIn") and values:
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                found.forbidden(f"{place}.values", why)


def _validate_attributes(found: Found, spec: Item) -> None:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        why = "cannot be specified in combination with resourceAttributes"
        found.invalid("spec.nonResourceAttributes", other, why)
    if resource is None and other is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        found.invalid("spec.resourceAttributes", other, why)
    if resource is not None:
        _validate_selectors(found, resource, "spec.resourceAttributes")


def _review(*, other: bool, local: bool = False) -> Callable[[Object], Sequence[Cause]]:
    """`other`: about a user who is named; `local`: within the namespace of the request."""

    def validate(object: Object) -> Sequence[Cause]:
        found = Found()
        spec, metadata = object.get("spec") or {}, object.get("metadata") or {}
        _validate_attributes(found, spec)
        if other and not spec.get("user") and not spec.get("groups"):
            found.invalid("spec.user", spec.get("user") or "", "at least one of user or group must be specified")
        told = {key for key, value in metadata.items() if value and key not in ("managedFields", "creationTimestamp")}
        if local:
            told.discard("namespace")
        if told:
            found.invalid("metadata", metadata, "must be empty except for namespace" if local else "must be empty")
        if local:
            attributes = spec.get("resourceAttributes")
            wanted, namespace = metadata.get("namespace") or "", (attributes or {}).get("namespace") or ""
            if attributes is not None and wanted != namespace:
                found.invalid("spec.resourceAttributes.namespace", namespace, "must match metadata.namespace")
            if spec.get("nonResourceAttributes") is not None:
                why = "disallowed on this kind of request"
                found.invalid("spec.nonResourceAttributes", spec["nonResourceAttributes"], why)
        return found.causes

    return validate


def _validate_token_review(object: Object) -> Sequence[Cause]:
    if not (object.get("spec") or {}).get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    return ()


def _validate_rules_review(object: Object) -> Sequence[Cause]:
    if not (object.get("spec") or {}).get("namespace"):
        raise bad_request("no namespace on request")
    return ()


def _default_token_request(object: Object) -> None:
    fill(object.setdefault("spec", {}), {"expirationSeconds": 3600})


def _validate_token_request(object: Object) -> Sequence[Cause]:
    found = Found()
    seconds = (object.get("spec") or {}).get("expirationSeconds") or 0
    if seconds < LEAST_SECONDS:
        found.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > MOST_SECONDS:
        found.invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    return found.causes


RULES: Mapping[str, Rules] = {
    "TokenReview": Rules(validate=_validate_token_review),
    "TokenRequest": Rules(default=_default_token_request, validate=_validate_token_request),
    "SelfSubjectReview": Rules(),
    "SubjectAccessReview": Rules(validate=_review(other=True)),
    "LocalSubjectAccessReview": Rules(validate=_review(other=True, local=True)),
    "SelfSubjectAccessReview": Rules(validate=_review(other=False)),
    "SelfSubjectRulesReview": Rules(validate=_validate_rules_review),
}
