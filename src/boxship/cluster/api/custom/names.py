"""Whether the names of a CustomResourceDefinition are free, and the status that says so. Pure.

Source: apiextensions-apiserver, naming and establishing controllers (reasons and texts).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from boxship.cluster.objects import Object

APPROVAL = "api-approved.kubernetes.io"
APPROVED = "KubernetesAPIApprovalPolicyConformant"


def is_established(definition: Object) -> bool:
    return condition_of(definition, "Established") == "True"


def condition_of(definition: Object, type_: str) -> str:
    for condition in (definition.get("status") or {}).get("conditions") or ():
        if condition.get("type") == type_:
            return str(condition.get("status"))
    return ""


def judged(definition: Object, others: Iterable[Object], now: str) -> Object:
    """The status of a definition, beside the other ones of its group. Times change only with what they are of."""
    wanted, status = definition["spec"]["names"], dict(definition.get("status") or {})
    had = status.get("acceptedNames") or {}
    taken, kinds = _taken(others)
    accepted: dict[str, Any] = {key: had[key] for key in had if key != "categories"}
    conflict: tuple[str, str] | None = None
    for key, used, reason in (
        ("plural", taken, "PluralConflict"),
        ("singular", taken, "SingularConflict"),
        ("kind", kinds, "KindConflict"),
        ("listKind", kinds, "ListKindConflict"),
    ):
        name = wanted.get(key) or ""
        if name and name != had.get(key) and name in used:
            conflict = (reason, f'"{name}" is already in use')
        else:
            accepted[key] = name
    short = list(wanted.get("shortNames") or ())
    clashing = [name for name in short if name in taken and name not in (had.get("shortNames") or ())]
    if clashing:
        conflict = ("ShortNamesConflict", ", ".join(f'"{name}" is already in use' for name in clashing))
    else:
        accepted["shortNames"] = short
    accepted["categories"] = list(wanted.get("categories") or ())
    status["acceptedNames"] = {key: value for key, value in accepted.items() if value or key in ("kind", "plural")}
    status["conditions"] = _conditions(definition, conflict, now)
    status.setdefault("storedVersions", [])
    return status


def _taken(others: Iterable[Object]) -> tuple[set[str], set[str]]:
    names: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        accepted = (other.get("status") or {}).get("acceptedNames") or {}
        names.update(accepted.get("shortNames") or ())
        names.update(accepted.get(key) or "" for key in ("plural", "singular"))
        kinds.update(accepted.get(key) or "" for key in ("kind", "listKind"))
    return names - {""}, kinds - {""}


def _conditions(definition: Object, conflict: tuple[str, str] | None, now: str) -> list[Object]:
    before = (definition.get("status") or {}).get("conditions") or ()
    conditions = [dict(each) for each in before]
    if conflict is None:
        put(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
    else:
        put(conditions, "NamesAccepted", "False", *conflict, now)
    if condition_of(definition, "Established") != "True":
        if conflict is None:
            said = ("True", "InitialNamesAccepted", "the initial names have been accepted")
        else:
            said = ("False", "NotAccepted", "not all names are accepted")
        put(conditions, "Established", *said, now)
    approval = (definition["metadata"].get("annotations") or {}).get(APPROVAL) or ""
    if approval.startswith("https://"):
        put(conditions, APPROVED, "True", "ApprovedAnnotation", f"approved in {approval}", now)
    elif approval:
        put(conditions, APPROVED, "False", "UnapprovedAnnotation", f"not approved: {APPROVAL!r}: {approval!r}", now)
    return conditions


def put(conditions: list[Object], type_: str, status: str, reason: str, message: str, now: str) -> None:
    """Set a condition; its time stays where its status does."""
    said = {"type": type_, "status": status, "reason": reason, "message": message}
    for index, condition in enumerate(conditions):
        if condition.get("type") == type_:
            moved = condition.get("status") != status
            kept = now if moved else condition.get("lastTransitionTime", now)
            conditions[index] = {**condition, **said, "lastTransitionTime": kept}
            return
    conditions.append({"lastTransitionTime": now, **said})


def neighbours(definition: Object, all_: Sequence[Object]) -> list[Object]:
    """The other definitions of its group."""
    name, group = definition["metadata"]["name"], definition["spec"]["group"]
    return [each for each in all_ if each["spec"]["group"] == group and each["metadata"]["name"] != name]
