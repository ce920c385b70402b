"""What a job's policies say of a failed pod, or of the indexes that succeeded. Pure."""

from collections.abc import Collection

import msgspec

from boxship.cluster.controllers.workloads.jobs.indexes import parse
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.objects import Object

COUNT, IGNORE, FAIL_JOB, FAIL_INDEX = "Count", "Ignore", "FailJob", "FailIndex"


class Verdict(msgspec.Struct, frozen=True):
    action: str = COUNT
    message: str = ""


def on_failure(spec: Object, pod: Pod) -> Verdict:
    """The first rule that matches."""
    for index, rule in enumerate((spec.get("podFailurePolicy") or {}).get("rules") or ()):
        message = _exit_codes(rule, pod, index) or _conditions(rule, pod, index)
        if message:
            return Verdict(rule["action"], message)
    return Verdict()


def _exit_codes(rule: Object, pod: Pod, index: int) -> str:
    wanted = rule.get("onExitCodes")
    if not wanted:
        return ""
    for exit in pod.exits:
        if wanted.get("containerName") and wanted["containerName"] != exit.container:
            continue
        if (exit.code in wanted["values"]) == (wanted["operator"] == "In"):
            where = f"Container {exit.container} for pod {pod.namespace}/{pod.name}"
            return f"{where} failed with exit code {exit.code} matching {rule['action']} rule at index {index}"
    return ""


def _conditions(rule: Object, pod: Pod, index: int) -> str:
    for wanted in rule.get("onPodConditions") or ():
        for has in pod.conditions:
            if has.type == wanted["type"] and has.status == (wanted.get("status") or "True"):
                where = f"Pod {pod.namespace}/{pod.name} has condition {has.type}"
                return f"{where} matching {rule['action']} rule at index {index}"
    return ""


def success(spec: Object, succeeded: Collection[int]) -> str:
    """Which rule of the success policy is fulfilled, as the condition says it; ""."""
    limit = spec.get("completions") or 0
    for index, rule in enumerate((spec.get("successPolicy") or {}).get("rules") or ()):
        text, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        among = parse(text, limit) if text else None
        done = [one for one in succeeded if among is None or one in among]
        needed = count if count is not None else len(among or ())
        if done and len(done) >= needed:
            return f"Matched rules at index {index}"
    return ""
