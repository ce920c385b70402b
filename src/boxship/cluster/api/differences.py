"""The difference of two objects as a JSON patch (RFC 6902) that leads from one to the other. Pure."""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects import Object

UNTOLD = ("managedFields", "resourceVersion", "generation")  # of the metadata: they change with everything else


def told(object: Object | None) -> Object:
    """An object without what follows from other changes."""
    if object is None:
        return {}
    metadata = {key: value for key, value in object.get("metadata", {}).items() if key not in UNTOLD}
    return {**object, "metadata": metadata}


def operations(before: Any, after: Any, path: str = "") -> list[dict[str, Any]]:
    """What makes `after` of `before`."""
    if isinstance(before, dict) and isinstance(after, dict):
        return _of_mappings(before, after, path)
    if isinstance(before, list) and isinstance(after, list):
        return _of_lists(before, after, path)
    if type(before) is type(after) and before == after:
        return []
    return [{"op": "replace", "path": path, "value": after}]


def _of_mappings(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for key in before:
        place = f"{path}/{_escaped(key)}"
        if key in after:
            found += operations(before[key], after[key], place)
        else:
            found.append({"op": "remove", "path": place})
    added = (
        {"op": "add", "path": f"{path}/{_escaped(key)}", "value": after[key]} for key in after if key not in before
    )
    return [*found, *added]


def _of_lists(before: list[Any], after: list[Any], path: str) -> list[dict[str, Any]]:
    """What both begin and end with stays; in between, item by item."""
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    found: list[dict[str, Any]] = []
    for index in range(min(len(old), len(new))):
        found += operations(old[index], new[index], f"{path}/{start + index}")
    for index in range(len(old) - 1, len(new) - 1, -1):
        found.append({"op": "remove", "path": f"{path}/{start + index}"})
    for index in range(len(old), len(new)):
        found.append({"op": "add", "path": f"{path}/{start + index}", "value": new[index]})
    return found


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
