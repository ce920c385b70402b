"""JSON patch (RFC 6902), with the original's limits: 10,000 operations, and 3 MiB that copies may add."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied, same
from boxship.cluster.objects.patch.refusals import DEEPEST, go_kind, malformed, too_many, unusable

OPERATIONS_LIMIT = 10_000
COPIES_LIMIT = 3 * 1024 * 1024  # bytes, of all copies together
FIELDS = ("op", "path", "from", "value")

_INDEX = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)


class _Missing(Exception):
    """What a path names is not there, or cannot hold it."""


def json_patch(object: Object, operations: Any) -> Object:
    """The object after all operations, or Failure at the first that cannot be done."""
    if not isinstance(operations, list):
        kind = go_kind(operations)
        raise malformed(f"json: cannot unmarshal {kind} into Go value of type jsonpatch.Patch")
    if len(operations) > OPERATIONS_LIMIT:
        raise too_many(f"The allowed maximum operations in a JSON patch is {OPERATIONS_LIMIT}, got {len(operations)}")
    try:
        document = _Document(copied(object))
        for operation in operations:
            document.apply(operation)
    except RecursionError:
        raise malformed(DEEPEST) from None
    if not isinstance(document.root, dict):
        raise unusable("the patched document is no object")
    return document.root


def unknown_fields(operations: Iterable[Any]) -> list[str]:
    """What strict decoding has to say of the operations' own fields."""
    return [
        f'json patch unknown field "[{index}].{key}"'
        for index, operation in enumerate(operations)
        if isinstance(operation, dict)
        for key in operation
        if key not in FIELDS
    ]


class _Document:
    """A value on which operations are carried out in place."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.copies_size = 0

    def apply(self, operation: Any) -> None:
        if not isinstance(operation, dict):
            kind = go_kind(operation)
            raise malformed(f"json: cannot unmarshal {kind} into Go value of type jsonpatch.Operation")
        name = operation.get("op")
        action = _ACTIONS.get(name) if isinstance(name, str) else None
        if action is None:
            raise unusable(f"Unexpected kind: {name if isinstance(name, str) else 'unknown'}")
        path = operation.get("path")
        if not isinstance(path, str):
            raise unusable(f"{name} operation failed to decode path: missing value")
        if name in ("add", "replace") and "value" not in operation:
            raise unusable(f"{name} operation failed to decode value: missing value")
        if name in ("move", "copy") and not isinstance(operation.get("from"), str):
            raise unusable(f"{name} operation failed to decode from: missing value")
        action(self, path, operation)

    def container(self, path: str) -> tuple[Any, str]:
        """What holds the last part of the path, and that part. Raises _Missing."""
        parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]
        if len(parts) < 2 or parts[0]:
            raise _Missing
        place = self.root
        for part in parts[1:-1]:
            place = _child(place, part)
        if not isinstance(place, dict | list):
            raise _Missing
        return place, parts[-1]

    def add(self, path: str, operation: dict[str, Any]) -> None:
        self.put(path, copied(operation["value"]), "add")

    def put(self, path: str, value: Any, name: str) -> None:
        if not path:
            self.root = value
            return
        try:
            place, key = self.container(path)
        except _Missing:
            where = f'doc is missing path: "{path}"' if name == "add" else f"doc is missing destination path: {path}"
            raise unusable(f"{name} operation does not apply: {where}: missing value") from None
        if isinstance(place, dict):
            place[key] = value
        elif key == "-":
            place.append(value)
        else:
            if not _INDEX.fullmatch(key):
                raise unusable(f"error in {name} for path: '{path}': value was not a proper array index: '{key}'")
            place.insert(_position(key, len(place) + 1, f"error in {name} for path: '{path}'"), value)

    def remove(self, path: str, operation: dict[str, Any]) -> None:
        self.take(path, "remove")

    def take(self, path: str, name: str) -> Any:
        try:
            place, key = self.container(path)
        except _Missing:
            where = f'doc is missing path: "{path}"' if name == "remove" else f"doc is missing from path: {path}"
            raise unusable(f"{name} operation does not apply: {where}: missing value") from None
        prefix = f"error in {name} for path: '{path}'"
        if isinstance(place, dict):
            if key not in place:
                raise unusable(f"{prefix}: unable to remove nonexistent key: {key}: missing value")
            return place.pop(key)
        return place.pop(_position(key, len(place), prefix))

    def replace(self, path: str, operation: dict[str, Any]) -> None:
        value = copied(operation["value"])
        if not path:
            self.root = value
            return
        try:
            place, key = self.container(path)
        except _Missing:
            raise unusable(f"replace operation does not apply: doc is missing path: {path}: missing value") from None
        missing = f"replace operation does not apply: doc is missing key: {path}"
        if isinstance(place, dict):
            place[key] = value  # also where there was none: the original allows it, and clients rely on it
        else:
            place[_position(key, len(place), missing)] = value

    def move(self, path: str, operation: dict[str, Any]) -> None:
        origin = operation["from"]
        if not origin:
            raise unusable("unable to move entire document to another path: invalid state detected")
        if path.startswith(origin + "/"):
            raise unusable(f"move operation does not apply: {path} lies in {origin}")
        self.put(path, self.take(origin, "move"), "move")

    def copy(self, path: str, operation: dict[str, Any]) -> None:
        origin = operation["from"]
        try:
            value = copied(self.get(origin))
        except _Missing:
            where = f'doc is missing from path: "{origin}"'
            raise unusable(f"copy operation does not apply: {where}: missing value") from None
        self.copies_size += len(msgspec.json.encode(value))
        if self.copies_size > COPIES_LIMIT:
            raise too_many(
                f"Unable to complete the copy, the accumulated size increase of copy is {self.copies_size}, "
                f"exceeding the limit {COPIES_LIMIT}"
            )
        self.put(path, value, "copy")

    def get(self, path: str) -> Any:
        if not path:
            return self.root
        place, key = self.container(path)
        return _child(place, key)

    def test(self, path: str, operation: dict[str, Any]) -> None:
        try:
            found = self.get(path)
        except _Missing:
            found = None  # nothing is null, as in the original
        if not same(found, operation.get("value")):
            raise unusable(f"testing value {path} failed: test failed")


_ACTIONS: dict[str, Callable[[_Document, str, dict[str, Any]], None]] = {
    "add": _Document.add,
    "remove": _Document.remove,
    "replace": _Document.replace,
    "move": _Document.move,
    "copy": _Document.copy,
    "test": _Document.test,
}


def _child(place: Any, part: str) -> Any:
    if isinstance(place, dict) and part in place:
        return place[part]
    if isinstance(place, list) and _INDEX.fullmatch(part):
        index = int(part)
        if -len(place) <= index < len(place):
            return place[index]
    raise _Missing


def _position(key: str, size: int, prefix: str) -> int:
    """The index that a path names in a list; below zero it counts from the end, as in the original."""
    if not _INDEX.fullmatch(key):
        raise unusable(f"{prefix}: strconv.Atoi: parsing {key!r}: invalid syntax")
    index = int(key)
    if not -size <= index < size:
        raise unusable(f"{prefix}: Unable to access invalid index: {index}: invalid index referenced")
    return index + size if index < 0 else index
