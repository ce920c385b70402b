"""Tables of metrics.k8s.io: what pods and nodes use."""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.tables.columns import NAME, Column, View
from boxship.cluster.objects.tables.text import name_of

COLUMNS = (NAME, Column("cpu"), Column("memory"), Column("window"))
NANO_UNIT, KIBI_UNIT = "n", "Ki"


def _number(text: Any, unit: str) -> int:
    digits = str(text).removesuffix(unit)
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _cells(object: Object, _: float) -> list[Any]:
    parts = object.get("containers")
    usages = [object] if parts is None else parts
    cpu = sum(_number((each.get("usage") or {}).get("cpu"), NANO_UNIT) for each in usages)
    memory = sum(_number((each.get("usage") or {}).get("memory"), KIBI_UNIT) for each in usages)
    return [name_of(object), f"{cpu}{NANO_UNIT}", f"{memory}{KIBI_UNIT}", object.get("window", "")]


VIEWS: Mapping[tuple[str, str], View] = {
    ("metrics.k8s.io", "PodMetrics"): View(COLUMNS, _cells),
    ("metrics.k8s.io", "NodeMetrics"): View(COLUMNS, _cells),
}
