"""What a write has changed: sets of added, modified and removed fields."""

from typing import Any

import msgspec

from boxship.cluster.objects.apply import fields, shapes
from boxship.cluster.objects.apply.extent import all_fields, made_fields
from boxship.cluster.objects.apply.fields import Fields
from boxship.cluster.objects.apply.shapes import LEAF, MAP, child_type, shape_of
from boxship.cluster.objects.copies import same
from boxship.cluster.objects.schema.types import Type


class Changes(msgspec.Struct):
    """No field is in more than one of the three."""

    added: Fields = {}
    modified: Fields = {}
    removed: Fields = {}

    def excluding(self, ignored: Fields) -> "Changes":
        """Without fields that the set names, and without what is below them."""
        if not ignored:
            return self
        return Changes(
            fields.without(self.added, ignored),
            fields.without(self.modified, ignored),
            fields.without(self.removed, ignored),
        )

    def note(self, element: str, before: Any, after: Any, type_: Type | None) -> None:
        """Compare two values that both are there, and note what differs below `element`."""
        if before is after or (type(before) is type(after) and before == after):
            return
        inner = compared(before, after, type_)
        if inner is None:
            self.modified[element] = {}
            for part, value in ((self.added, after), (self.removed, before)):
                below = all_fields(value, type_)
                if below:
                    part[element] = {name: node for name, node in below.items() if name != fields.SELF}
            return
        for name in ("added", "modified", "removed"):
            part = getattr(inner, name)
            if part:
                getattr(self, name)[element] = part


def compared(before: Any, after: Any, type_: Type | None) -> Changes | None:
    """The changes below two values; None where they are leaves, which differ as a whole."""
    shape = shape_of(type_, after)
    if shape is LEAF or shape is not shape_of(type_, before) or (not before and not after):
        return None
    return _maps(before, after, type_) if shape is MAP else _lists(before, after, type_)


def _maps(before: dict[str, Any], after: dict[str, Any], type_: Type | None) -> Changes:
    changes = Changes({}, {}, {})
    for key, value in after.items():
        if key in before:
            old = before[key]
            if old is value or (type(old) is type(value) is str and old == value):
                continue
            changes.note(f"f:{key}", old, value, child_type(type_, key))
        elif shapes.always_there(type_, key) and isinstance(value, dict):  # empty before: nobody makes it by sending it
            changes.note(f"f:{key}", {}, value, child_type(type_, key))
        else:
            changes.added[f"f:{key}"] = made_fields(value, type_, key)
    for key, value in before.items():
        if key not in after:
            changes.removed[f"f:{key}"] = all_fields(value, child_type(type_, key))
    return changes


def _lists(before: list[Any], after: list[Any], type_: Type | None) -> Changes:
    assert type_ is not None
    changes = Changes({}, {}, {})
    old, new = shapes.items_by_element(type_, before), shapes.items_by_element(type_, after)
    for element, items in new.items():
        counterparts = old.get(element, ())
        if not counterparts:
            changes.added[element] = all_fields(items[0], type_.items) if len(items) == 1 else {}
        elif len(items) == 1 and len(counterparts) == 1:
            changes.note(element, counterparts[0], items[0], type_.items)
        elif len(items) > 1 and len(counterparts) > 1:
            if not same(items, list(counterparts)):
                changes.modified[element] = {}
        elif len(items) > 1:
            changes.removed[element] = all_fields(counterparts[0], type_.items)
            changes.added[element] = {}
        else:
            changes.removed[element] = {}
            changes.added[element] = all_fields(items[0], type_.items)
    for element, items in old.items():
        if element not in new:
            changes.removed[element] = all_fields(items[0], type_.items) if len(items) == 1 else {}
    return changes
