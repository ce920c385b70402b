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

_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


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
    """A path that leads nowhere tells nothing; a field that is missing has the value None where it would be."""
    found = value_at(new, path)
    known = found is not None or isinstance(value_at(new, path[: path.rfind(_steps(path)[-1])]), dict)
    return known and bool(found == value_at(old, path))


def _steps(path: str) -> list[str]:
    return [step.group() for step in _STEP.finditer(path)] or [path]


def value_at(object: Any, path: str) -> Any:
    """The value at a path ("spec.ports[0].name", "data[tls.crt]"), or None."""
    for place, name in _STEP.findall(path):
        if isinstance(object, dict):
            object = object.get(name or place)
        elif isinstance(object, list) and place.isascii() and place.isdigit():
            object = object[int(place)] if int(place) < len(object) else None
        else:
            object = None
    return object
