"""Whether a pod's toleration is for a taint of a node. Pure.

Source: kubernetes.io, "Taints and Tolerations".
"""

from boxship.cluster.objects import Object


def tolerates(toleration: Object, taint: Object) -> bool:
    """Both as they stand in the objects."""
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if key and key != taint.get("key"):
        return False
    if operator == "Exists":
        return True
    wanted, has = toleration.get("value") or "", taint.get("value") or ""
    if operator in ("Lt", "Gt"):
        return _compares(operator, wanted, has)
    return bool(key) and wanted == has


def _compares(operator: str, wanted: str, has: str) -> bool:
    try:
        bound, value = int(wanted), int(has)
    except ValueError:
        return False
    return value < bound if operator == "Lt" else value > bound
