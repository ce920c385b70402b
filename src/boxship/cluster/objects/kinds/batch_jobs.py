"""What is right in a Job's spec: also in the job that a CronJob makes.

Source: documentation "Jobs" (completion modes, pod failure policy, success policy, backoff limit per index); API
reference JobSpec; k8s.io/kubernetes, apis/batch/validation.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.kinds.checking import Found, non_negative, quote
from boxship.cluster.objects.kinds.comparing import path_of
from boxship.cluster.objects.kinds.core_pod_spec import validate_template

Item = Mapping[str, Any]
INDEXES_LIMIT = 100_000
HIGH_LIMIT = 10_000
RULES_LIMIT = 20
EXIT_CODES_LIMIT = 255
PATTERNS_LIMIT = 20
INDEXES_LENGTH = 64 * 1024
MANAGER_LENGTH = 63
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
STATUSES = ("False", "True", "Unknown")
NUMBERS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
INDEXED_TEXT = "requires indexed completion mode"


def quoted(choices: Sequence[str]) -> str:
    return f"valid values: [{' '.join(quote(choice) for choice in choices)}]"


def validate_job_spec(found: Found, spec: Object, path: str) -> None:
    """All but the selector, which a job gets when it is made."""
    non_negative(found, spec, path, *NUMBERS, "backoffLimitPerIndex", "maxFailedIndexes")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        found.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    manager = spec.get("managedBy")
    if manager is not None:
        _validate_manager(found, manager, f"{path}.managedBy")
    mode = spec.get("completionMode")
    if mode is not None and mode not in ("NonIndexed", "Indexed"):
        found.unsupported(f"{path}.completionMode", mode, ("NonIndexed", "Indexed"))
    if mode == "Indexed":
        _validate_indexed(found, spec, path)
    elif mode in (None, "NonIndexed"):
        for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(key) is not None:
                found.invalid(f"{path}.{key}", spec[key], INDEXED_TEXT)
    failing, success = spec.get("podFailurePolicy"), spec.get("successPolicy")
    if failing is not None:
        _validate_failing(found, spec, failing, f"{path}.podFailurePolicy")
    if success is not None:
        if mode != "Indexed":
            found.invalid(f"{path}.successPolicy", success, INDEXED_TEXT)
        else:
            _validate_success(found, spec, success, f"{path}.successPolicy")
    replacement = spec.get("podReplacementPolicy")
    choices = ("Failed", "TerminatingOrFailed") if failing is None else ("Failed",)
    if replacement is not None and replacement not in choices:
        found.unsupported(f"{path}.podReplacementPolicy", replacement, choices)
    template = spec.get("template") or {}
    validate_template(found, template, f"{path}.template")
    policy = path_of(template, "spec", "restartPolicy") or ""
    at = f"{path}.template.spec.restartPolicy"
    if policy in ("Always", ""):
        found.required(at, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        found.unsupported(at, policy, ("OnFailure", "Never"))
    elif failing is not None and policy != "Never":
        found.invalid(at, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _validate_manager(found: Found, manager: str, path: str) -> None:
    found.because(path, manager, names.domain_path(manager))
    if len(manager) > MANAGER_LENGTH:
        found.too_long(path, MANAGER_LENGTH)


def _validate_indexed(found: Found, spec: Item, path: str) -> None:
    completions, parallel = spec.get("completions"), spec.get("parallelism") or 0
    failures = spec.get("maxFailedIndexes")
    if completions is None:
        found.required(f"{path}.completions", "when completion mode is Indexed")
    if parallel > INDEXES_LIMIT:
        why = f"must be less than or equal to {INDEXES_LIMIT} when completion mode is Indexed"
        found.invalid(f"{path}.parallelism", parallel, why)
    if failures is not None and completions is not None and failures > completions:
        found.invalid(f"{path}.maxFailedIndexes", failures, "must be less than or equal to completions")
    if failures is not None and failures > INDEXES_LIMIT:
        found.invalid(f"{path}.maxFailedIndexes", failures, f"must be less than or equal to {INDEXES_LIMIT}")
    if completions is None or completions <= INDEXES_LIMIT or spec.get("backoffLimitPerIndex") is None:
        return
    why = (
        f"must be less than or equal to {HIGH_LIMIT} when completions are above {INDEXES_LIMIT} "
        "and used with backoff limit per index"
    )
    if failures is None:
        found.required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {INDEXES_LIMIT}")
    elif failures > HIGH_LIMIT:
        found.invalid(f"{path}.maxFailedIndexes", failures, why)
    if parallel > HIGH_LIMIT:
        found.invalid(f"{path}.parallelism", parallel, why)


def _validate_failing(found: Found, spec: Item, policy: Item, path: str) -> None:
    rules = policy.get("rules") or ()
    if len(rules) > RULES_LIMIT:
        found.too_many(f"{path}.rules", len(rules), RULES_LIMIT)
    pod = path_of(spec, "template", "spec") or {}
    containers = {each.get("name") for key in ("containers", "initContainers") for each in pod.get(key) or ()}
    for index, rule in enumerate(rules):
        at = f"{path}.rules[{index}]"
        action, codes, conditions = rule.get("action"), rule.get("onExitCodes"), rule.get("onPodConditions")
        if not action:
            found.required(f"{at}.action", quoted(ACTIONS))
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            found.invalid(f"{at}.action", action, "requires the backoffLimitPerIndex to be set")
        elif action not in ACTIONS:
            found.unsupported(f"{at}.action", action, ACTIONS)
        if codes is not None:
            _validate_exit_codes(found, codes, containers, f"{at}.onExitCodes")
        if conditions:
            _validate_conditions(found, conditions, f"{at}.onPodConditions")
        if codes is not None and conditions:
            _wrong(found, at, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not conditions:
            _wrong(found, at, "specifying one of OnExitCodes and OnPodConditions is required")


def _wrong(found: Found, path: str, why: str) -> None:
    """Invalid, without the value, which would say nothing."""
    found.add("FieldValueInvalid", path, f"Invalid value: {why}")


def _validate_exit_codes(found: Found, codes: Item, containers: set[Any], path: str) -> None:
    operator, values = codes.get("operator"), codes.get("values") or []
    if not operator:
        found.required(f"{path}.operator", quoted(("In", "NotIn")))
    elif operator not in ("In", "NotIn"):
        found.unsupported(f"{path}.operator", operator, ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        why = "must be one of the container or initContainer names in the pod template"
        found.invalid(f"{path}.containerName", name, why)
    if not values:
        found.invalid(f"{path}.values", values, "at least one value is required")
    elif len(values) > EXIT_CODES_LIMIT:
        found.too_many(f"{path}.values", len(values), EXIT_CODES_LIMIT)
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            found.invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            found.duplicate(f"{path}.values[{index}]", value)
    if values != sorted(values):
        found.invalid(f"{path}.values", values, "must be ordered")


def _validate_conditions(found: Found, conditions: Sequence[Item], path: str) -> None:
    if len(conditions) > PATTERNS_LIMIT:
        found.too_many(path, len(conditions), PATTERNS_LIMIT)
    for index, condition in enumerate(conditions):
        at = f"{path}[{index}]"
        kind, status = condition.get("type") or "", condition.get("status")
        found.because(f"{at}.type", kind, names.qualified(kind))
        if not status:
            found.required(f"{at}.status", quoted(STATUSES))
        elif status not in STATUSES:
            found.unsupported(f"{at}.status", status, STATUSES)


def _validate_success(found: Found, spec: Item, policy: Item, path: str) -> None:
    rules = policy.get("rules") or ()
    completions = spec.get("completions") or 0
    if not rules:
        why = "at least one rules must be specified when the successPolicy is specified"
        found.required(f"{path}.rules", why)
    if len(rules) > RULES_LIMIT:
        found.too_many(f"{path}.rules", len(rules), RULES_LIMIT)
    for index, rule in enumerate(rules):
        at = f"{path}.rules[{index}]"
        count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
        if count is None and indexes is None:
            found.required(at, "at least one of succeededCount or succeededIndexes must be specified")
        total = 0
        if indexes is not None:
            if len(indexes) > INDEXES_LENGTH:
                found.too_long(f"{at}.succeededIndexes", INDEXES_LENGTH)
            total, why = count_indexes(indexes, completions)
            if why:
                found.invalid(f"{at}.succeededIndexes", indexes, f"error parsing succeededIndexes: {why}")
        if count is None:
            continue
        non_negative(found, rule, at, "succeededCount")
        if count > completions:
            why = f"must be less than or equal to {completions} (the number of specified completions)"
            found.invalid(f"{at}.succeededCount", count, why)
        if indexes is not None and count > total:
            why = (
                f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            )
            found.invalid(f"{at}.succeededCount", count, why)


def count_indexes(text: str, completions: int) -> tuple[int, str]:
    """How many indexes "1,3-5" names, and why it is wrong, or ""."""
    total, last = 0, -1
    for part in text.split(",") if text else ():
        ends = part.split("-")
        if len(ends) > 2:
            return (
                0,
                f"the fragment {quote(part)} violates the requirement that an index interval can have at most "
                "two parts separated by '-'",
            )
        numbers = []
        for end in ends:
            if not re.fullmatch(r"[-+]?\d{1,10}", end, re.ASCII):
                return 0, f"cannot convert string to integer for index: {quote(end)}"
            if int(end) >= completions:
                return 0, f"too large index: {quote(end)}"
            numbers.append(int(end))
        if last >= numbers[0]:
            return 0, f"non-increasing order, previous: {last}, current: {numbers[0]}"
        if len(numbers) == 2 and numbers[0] >= numbers[1]:
            return 0, f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}"
        total += numbers[-1] - numbers[0] + 1
        last = numbers[-1]
    return total, ""
