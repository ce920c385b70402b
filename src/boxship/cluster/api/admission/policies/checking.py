"""Expressions are compiled when they are written: of policies, and the match conditions of webhooks. What does not
compile is refused with the original's text. Also the warnings of a policy's typed check, for its status."""

from collections.abc import Callable, Iterator
from typing import Any

from boxship.cluster.api.admission import Attributes
from boxship.cluster.api.admission.policies.compiled import compile_policy
from boxship.cluster.api.admission.policies.conditions import webhook_condition
from boxship.cluster.api.admission.policies.variables import DECLARED
from boxship.cluster.objects import Object
from boxship.cluster.objects.cel import kinds
from boxship.cluster.objects.failure import Cause, invalid
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.schema.types import Type
from boxship.errors import Invalid

GROUP = "admissionregistration.k8s.io"
POLICIES = ("validatingadmissionpolicies", "mutatingadmissionpolicies")
WEBHOOKS = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")
TYPES_LIMIT = 10  # kinds that a policy is checked against

Served = Callable[[], Iterator[tuple[Resource, Type]]]


class PolicyExpressions:
    """Implements Plugin. Not one of the original's: there this is part of the kinds' validation."""

    name = "PolicyExpressions"

    async def admit(self, attributes: Attributes) -> None:
        return None

    async def validate(self, attributes: Attributes) -> None:
        resource, made = attributes.request.resource, attributes.object
        wanted = (*POLICIES, *WEBHOOKS)
        if resource.group != GROUP or resource.plural not in wanted or made is None or attributes.request.subresource:
            return
        if attributes.old is not None and attributes.old.get("spec", attributes.old.get("webhooks")) == made.get(
            "spec", made.get("webhooks")
        ):
            return
        causes = list(_policy(made) if resource.plural in POLICIES else _webhooks(made))
        if causes:
            raise invalid(GROUP, resource.kind, attributes.name or str(made["metadata"].get("name", "")), causes)


def _policy(object: Object) -> Iterator[Cause]:
    causes: list[Cause] = []
    compile_policy(object, lambda field, text, why: causes.append(_cause(field, text, why)))
    yield from causes


def _webhooks(object: Object) -> Iterator[Cause]:
    for index, webhook in enumerate(object.get("webhooks") or ()):
        for place, condition in enumerate(webhook.get("matchConditions") or ()):
            text = str(condition.get("expression") or "")
            try:
                webhook_condition(text)
            except Invalid as wrong:
                yield _cause(f"webhooks[{index}].matchConditions[{place}].expression", text, str(wrong))


def _cause(field: str, text: str, why: str) -> Cause:
    shown = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return Cause("FieldValueInvalid", field, f'Invalid value: "{shown}": {why}')


def type_warnings(policy: Object, served: Served) -> list[dict[str, Any]]:
    """`status.typeChecking.expressionWarnings`: what the expressions do wrong with the types of the kinds that the
    policy names. Those it names by "*" are not looked at, as in the original."""
    spec = policy.get("spec") or {}
    rules = (spec.get("matchConstraints") or {}).get("resourceRules") or ()
    found: dict[str, list[str]] = {}
    for resource, type_ in [pair for pair in served() if _named(rules, pair[0])][:TYPES_LIMIT]:
        kind = kinds.of_schema(type_)
        declared = {**DECLARED, "object": kind, "oldObject": kind}
        shown = f"{resource.api_version}, Kind={resource.kind}"

        def report(field: str, _: str, why: str, shown: str = shown) -> None:
            text = why.removeprefix("compilation failed: ")
            found.setdefault(field, []).append(f"{shown}: {text}\n")

        compile_policy(policy, report, declared)
    return [{"fieldRef": field, "warning": "".join(texts)} for field, texts in sorted(found.items())]


def _named(rules: Any, resource: Resource) -> bool:
    return any(
        resource.group in (rule.get("apiGroups") or ())
        and resource.version in (rule.get("apiVersions") or ())
        and resource.plural in (rule.get("resources") or ())
        for rule in rules
    )
