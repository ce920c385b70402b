"""Tables of metrics.k8s.io: what pods and nodes use."""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.tables.columns import NAME, Column, View
from boxship.cluster.objects.tables.text import items, name_of, text

COLUMNS = (
    NAME,
    Column("cpu", description="Processor time per second, of all containers."),
    Column("memory", description="Memory that the kernel cannot take back at once, of all containers."),
    Column("window", description="The time over which the processor's use is taken."),
)
NANO_UNIT, KIBI_UNIT = "n", "Ki"


def _number(shown: str, unit: str) -> int:
    digits = shown.removesuffix(unit)
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _cells(object: Object, _: float) -> list[Any]:
    usages = items(object, "containers") if "containers" in object else [object]
    cpu = sum(_number(text(each, "usage", "cpu"), NANO_UNIT) for each in usages)
    memory = sum(_number(text(each, "usage", "memory"), KIBI_UNIT) for each in usages)
    return [name_of(object), f"{cpu}{NANO_UNIT}", f"{memory}{KIBI_UNIT}", text(object, "window")]


VIEWS: Mapping[tuple[str, str], View] = {
    ("metrics.k8s.io", "PodMetrics"): View(COLUMNS, _cells),
    ("metrics.k8s.io", "NodeMetrics"): View(COLUMNS, _cells),
}
