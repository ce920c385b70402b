"""What an update of a built-in kind need not mend: wrong values that were stored already and that it does not touch.

Rules become stricter with versions, and objects come from elsewhere; a label must be changeable all the same. Only what
is wrong in just the same way before and after is let pass. Custom kinds have their own such rule (`custom/rules`).
Source: kubernetes.io, "Declarative API Validation" (ratcheting). Pure.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Enough

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def touched(validate: Callable[[Object], Sequence[Cause]], new: Object, old: Object) -> Sequence[Cause]:
    """What `validate` finds wrong in `new`, without what was wrong in `old` and is as it was. Raises Enough."""
    causes = validate(new)
    if not causes:
        return causes
    try:
        before = set(validate(old))
    except Enough:
        return causes
    return [cause for cause in causes if cause not in before or not _same(cause.field, new, old)]


def _same(path: str, new: Object, old: Object) -> bool:
    return bool(value_at(new, path) == value_at(old, path))


def value_at(object: Any, path: str) -> Any:
    """The value at a path ("spec.ports[0].name"), or None."""
    for name, index in _STEP.findall(path):
        if index:
            place = int(index)
            object = object[place] if isinstance(object, list) and place < len(object) else None
        else:
            object = object.get(name) if isinstance(object, dict) else None
    return object
