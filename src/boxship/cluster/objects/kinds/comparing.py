"""Whether two objects mean the same, and what differs between them: for fields that may not be changed.

An absent field and an empty one are the same (Go's semantic equality); so are absent and false where the original's
field is no pointer.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.kinds.checking import show

PLAIN_SWITCHES = frozenset(
    (
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "paused",
        "publishNotReadyAddresses",
        "readOnly",
        "stdin",
        "stdinOnce",
        "tty",
        "unschedulable",
    )
)
SHOWN_LIMIT = 8  # differences in a message
LENGTH_LIMIT = 200  # characters of a value in a message


def _present(key: str, value: Any) -> bool:
    if value is None or value == "" or (value is False and key in PLAIN_SWITCHES):
        return False
    return not (isinstance(value, dict | list) and not value)


def same(one: Any, other: Any) -> bool:
    if one == other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            first, second = one.get(key), other.get(key)
            if not same(first, second) and (_present(key, first) or _present(key, second)):
                return False
        return True
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(map(same, one, other))
    return not _present("", one) and not _present("", other)


def differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """The places that differ: path, old value, new value (None: absent)."""
    if same(old, new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if _present(key, old.get(key)) or _present(key, new.get(key)):
                yield from differences(old.get(key), new.get(key), f"{path}.{key}")
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            yield from differences(before, after, f"{path}[{index}]")
    else:
        yield path, old, new


def shown_differences(old: Any, new: Any, path: str) -> str:
    """For messages: a line for each place that differs, up to a limit."""
    lines: list[str] = []
    for place, before, after in differences(old, new, path):
        if len(lines) == SHOWN_LIMIT:
            lines.append("  …")
            break
        lines.append(f"  {place}: {show(before)[:LENGTH_LIMIT]} → {show(after)[:LENGTH_LIMIT]}")
    return "\n".join(lines)


def keep_status(new: Object, old: Object) -> None:
    """An update of the object does not touch its status."""
    if "status" in old:
        new["status"] = old["status"]
    else:
        new.pop("status", None)


def empty_status(object: Object) -> None:
    object["status"] = {}


def take_spec_back(new: Object, old: Object) -> None:
    """A write to `status` that may also change labels and annotations, as kinds older than subresources allow."""
    if "spec" in old:
        new["spec"] = old["spec"]
    else:
        new.pop("spec", None)


def path_of(object: Mapping[str, Any], *keys: str) -> Any:
    """The value at a path, None where something on the way is absent."""
    value: Any = object
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text_of(object: Mapping[str, Any], *keys: str) -> str:
    """As field selectors compare it."""
    value = path_of(object, *keys)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def field_table(**defaults: str) -> Callable[..., Callable[[Object], dict[str, str]]]:
    """Selectable fields by their paths: `field_table()("spec.nodeName", …)`; `defaults` for absent ones, with `_` for
    the dots."""

    def of(*paths: str) -> Callable[[Object], dict[str, str]]:
        split = [(path, tuple(path.split(".")), defaults.get(path.replace(".", "_"), "")) for path in paths]

        def fields(object: Object) -> dict[str, str]:
            return {path: text_of(object, *keys) or default for path, keys, default in split}

        return fields

    return of
