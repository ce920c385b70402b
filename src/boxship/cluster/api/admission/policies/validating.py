"""ValidatingAdmissionPolicy: expressions that must be true for a write to pass."""

from collections.abc import Sequence
from typing import Any

import msgspec

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.api.admission.policies import conditions
from boxship.cluster.api.admission.policies.authorizer import Decide
from boxship.cluster.api.admission.policies.compiled import Policy, Validation
from boxship.cluster.api.admission.policies.concerned import Concerned, KindOf, Use
from boxship.cluster.api.admission.policies.requests import Requests
from boxship.cluster.api.admission.policies.variables import evaluated, frame_for
from boxship.cluster.api.admission.webhooks.matching import Others
from boxship.cluster.objects.cel import environment
from boxship.cluster.objects.cel.environment import Frame
from boxship.cluster.objects.cel.values import Failed
from boxship.cluster.objects.failure import Cause, Failure, forbidden

MESSAGE_LIMIT = 5 * 1024  # characters
ANNOTATION_LIMIT = 10 * 1024  # characters of one audit annotation
FAILURES = "validation.policy.admission.k8s.io/validation_failure"
CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}


class Broken(msgspec.Struct, frozen=True):
    """A validation that does not hold, or a policy that cannot be evaluated."""

    use: Use
    message: str
    reason: str = ""
    index: int = 0


Outcome = tuple[list[Broken], list[tuple[str, str]]]


class ValidatingAdmissionPolicy:
    """Implements Plugin."""

    name = "ValidatingAdmissionPolicy"

    def __init__(self, lookup: Lookup, others: Others, kind_of: KindOf, requests: Requests, decide: Decide) -> None:
        self._lookup = lookup
        self._concerned = Concerned(lookup, others, kind_of, "validating")
        self._requests = requests
        self._decide = decide

    async def admit(self, attributes: Attributes) -> None:
        return None

    async def validate(self, attributes: Attributes) -> None:
        broken: list[Broken] = []
        audits: dict[str, list[str]] = {}
        async for use in self._concerned.find(attributes):
            found, noted = await self._evaluate(use, attributes)
            broken += found
            for key, text in noted:
                audits.setdefault(key, []).append(text)
        for key, texts in audits.items():
            attributes.request.notes[key] = ", ".join(dict.fromkeys(texts))
        denied = _told(broken, attributes)
        if denied is not None:
            raise _refusal(denied, attributes)

    async def _evaluate(self, use: Use, attributes: Attributes) -> Outcome:
        policy = use.policy
        if use.problem:
            return ([] if policy.ignores else [Broken(use, use.problem)]), []
        request = await self._requests.of(attributes, use.resource)
        namespace = await conditions.namespace_of(attributes, self._lookup)

        def frame(budget: int) -> Frame:
            return frame_for(attributes, request, namespace, self._decide, use.params, policy.variables, budget)

        return await evaluated(frame, lambda made: _outcome(use, made))


def _outcome(use: Use, frame: Frame) -> Outcome:
    """What is broken, and what the audit is told."""
    policy = use.policy
    try:
        if policy.conditions and not conditions.hold(policy.conditions, frame):
            return [], []
    except conditions.ConditionError as wrong:
        return ([] if policy.ignores else [Broken(use, str(wrong))]), []
    broken, noted = _judged(use, policy, frame), []
    for key, program in policy.audits:
        try:
            text = environment.run(program, frame)
        except Failed as failed:
            if not policy.ignores:
                broken.append(Broken(use, f"expression '{program.text}' resulted in error: {failed}"))
            continue
        if isinstance(text, str) and text.strip():
            noted.append((f"{policy.name}/{key}", text.strip()[:ANNOTATION_LIMIT]))
    return broken, noted


def _judged(use: Use, policy: Policy, frame: Frame) -> list[Broken]:
    broken = []
    for index, validation in enumerate(policy.validations):
        try:
            if environment.run(validation.program, frame) is True:
                continue
        except Failed as failed:
            if not policy.ignores:
                message = f"expression '{validation.program.text}' resulted in error: {failed}"
                broken.append(Broken(use, message, index=index))
            continue
        broken.append(Broken(use, _message(validation, frame), validation.reason, index))
    return broken


def _message(validation: Validation, frame: Frame) -> str:
    if validation.said is not None:
        try:
            text = environment.run(validation.said, frame)
        except Failed:
            text = ""
        if isinstance(text, str) and text.strip() and "\n" not in text.strip() and len(text) <= MESSAGE_LIMIT:
            return text.strip()
    return validation.message.strip() or f"failed expression: {validation.program.text.strip()}"


def _told(broken: Sequence[Broken], attributes: Attributes) -> Broken | None:
    """Do what the bindings say of failures: warn, note for the audit; the first that denies is returned."""
    denied: Broken | None = None
    noted: list[dict[str, Any]] = []
    for each in broken:
        use = each.use
        actions = use.binding["spec"].get("validationActions") or ["Deny"]
        if "Deny" in actions and denied is None:
            denied = each
        if "Warn" in actions:
            attributes.warn(
                f"Validation failed for ValidatingAdmissionPolicy '{use.policy.name}' with binding "
                f"'{use.binding_name}': {each.message}"
            )
        if "Audit" in actions:
            noted.append(
                {
                    "message": each.message,
                    "policy": use.policy.name,
                    "binding": use.binding_name,
                    "expressionIndex": each.index,
                    "validationActions": actions,
                }
            )
    if noted:
        attributes.request.notes[FAILURES] = msgspec.json.encode(noted).decode()
    return denied


def _refusal(denied: Broken, attributes: Attributes) -> Failure:
    use = denied.use
    message = (
        f"ValidatingAdmissionPolicy '{use.policy.name}' with binding '{use.binding_name}' denied request: "
        f"{denied.message}"
    )
    found = forbidden(attributes.request.resource, attributes.name, message)
    reason = denied.reason or "Invalid"
    found.reason, found.code = reason, CODES.get(reason, 422)
    found.causes = (Cause("", "", message),)
    return found
