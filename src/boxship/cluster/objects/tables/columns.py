"""What a table of one kind is made of: its columns, and the function that fills a row."""

from collections.abc import Callable
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.tables.text import age, name_of

Cells = Callable[[Object, float], list[Any]]  # (object, now in seconds) -> one value per column


class Column(msgspec.Struct, frozen=True):
    """A column; one of priority 0 is always shown, others in wide output."""

    name: str
    type: str = "string"
    description: str = ""
    format: str = ""
    priority: int = 0

    def definition(self) -> dict[str, Any]:
        """As a Table's columnDefinitions have it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


class View(msgspec.Struct, frozen=True):
    """How one kind is listed. `order` sorts a listing where the original does; `state` tells clients which rows
    are completed."""

    columns: tuple[Column, ...]
    cells: Cells
    order: Callable[[Object], Any] | None = None
    conditions: Callable[[Object], list[dict[str, str]]] | None = None


NAME = Column("Name", format="name", description="The object's name, unique among its kind in a namespace.")
AGE = Column("Age", description="The time since the object was created.")
CONTAINERS = Column("Containers", description="Names of each container in the template.", priority=1)
IMAGES = Column("Images", description="Images referenced by each container in the template.", priority=1)


def plain(*columns: Column, between: Callable[[Object], list[Any]]) -> View:
    """A kind whose row is its name, some cells, and its age."""

    def cells(object: Object, now: float) -> list[Any]:
        return [name_of(object), *between(object), age(object, now)]

    return View((NAME, *columns, AGE), cells)
