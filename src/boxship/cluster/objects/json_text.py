"""Reads the JSON of a request's body. The fast decoder keeps the last of two fields with one name and says nothing;
only where a text may have such fields is it read a second time to name them.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from boxship.cluster.objects.failure import Failure, bad_request

VALUES_LIMIT = 100_000  # fields, items and entries of one object, but for its managed fields
PROBLEMS_LIMIT = 100  # unknown and duplicate fields that are told of
# Names may be megabytes long and stand above very many others: whole paths of all of them would be gigabytes.
PATH_LIMIT = 500  # characters that are told
PLACES_LIMIT = 10_000  # fields and items, the first ones, whose order is known
ENDS_EARLY = "unexpected end of JSON input"  # as Go says it
_SPACED_KEY = re.compile(rb'"\s+:')


def join_path(path: str, key: str) -> str:
    """For texts; what is very long is cut."""
    return f"{path}.{key}"[:PATH_LIMIT] if path else key[:PATH_LIMIT]


def check_size(value: Any, size: int) -> None:
    """Texts of a few megabytes can hold very many values, and everything walks them. `size` is the text's, in bytes.
    Raises Failure 413."""
    if size < VALUES_LIMIT * 2:
        return  # a value has at least a digit and a comma
    left, count = [value], 0
    while left:
        value = left.pop()
        if type(value) is dict:
            count += len(value)
            left += [item for key, item in value.items() if type(item) in (dict, list) and key != "managedFields"]
        elif type(value) is list:
            count += len(value)
            left += [item for item in value if type(item) in (dict, list)]
        if count > VALUES_LIMIT:
            why = f"Request entity too large: limit is {VALUES_LIMIT} fields and items"
            raise Failure(413, "RequestEntityTooLarge", why)


def decode_json(data: bytes) -> Any:
    """Raises Failure 400 or 413."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = ENDS_EARLY if "truncated" in str(error) else error
        raise bad_request(f"couldn't get version/kind; json parse error: {why}") from None
    except RecursionError:
        raise bad_request("couldn't get version/kind; json parse error: exceeded max depth") from None
    check_size(value, len(data))
    return value


def duplicate_fields(data: bytes, value: Any) -> list[str]:
    """The fields that stand twice in a JSON text; `value` is what it was decoded to, which holds the last of each: it
    gets their places too, so that what is said of a body has the body's order."""
    try:
        if data.count(b'":') == _count(value) and not _SPACED_KEY.search(data):
            return []
        found: list[str] = []
        pairs = json.loads(data, object_pairs_hook=_Pairs.of)
        _find_doubled(pairs, "", found)
        if found:
            _reorder(value, pairs)
    except RecursionError:
        raise bad_request("couldn't get version/kind; json parse error: exceeded max depth") from None
    return found


class _Pairs(dict[str, Any]):
    """An object that knows which of its keys came twice."""

    doubled: tuple[str, ...] = ()

    @classmethod
    def of(cls, pairs: list[tuple[str, Any]]) -> "_Pairs":
        result = cls(pairs)
        if len(result) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            result.doubled = tuple(key for key, count in counts.items() if count > 1)
            for key, item in pairs:
                result.pop(key, None)
                result[key] = item
        return result


def _reorder(value: Any, pairs: Any) -> None:
    """Give the fields of a decoded text the places of those that count."""
    if isinstance(pairs, _Pairs):
        for key, item in pairs.items():
            if pairs.doubled:
                value[key] = value.pop(key)
            _reorder(value[key], item)
    elif isinstance(pairs, list):
        for one, item in zip(value, pairs, strict=True):
            _reorder(one, item)


def places_of(value: Any) -> dict[str, int]:
    """In which order the fields of an object come, by their paths."""
    places: dict[str, int] = {}
    left = [_parts("", value)]
    while left and len(places) < PLACES_LIMIT:
        found = next(left[-1], None)
        if found is None:
            left.pop()
        else:
            places[found[0]] = len(places)
            left.append(_parts(*found))
    return places


def _parts(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if type(value) is dict:
        for key, item in value.items():
            yield join_path(path, key), item
    elif type(value) is list:
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item


def _find_doubled(value: Any, path: str, found: list[str]) -> None:
    if len(found) >= PROBLEMS_LIMIT:
        return
    if isinstance(value, _Pairs):
        told = value.doubled[: PROBLEMS_LIMIT - len(found)]
        found.extend(f'duplicate field "{join_path(path, key)}"' for key in told)
        for key, item in value.items():
            if isinstance(item, dict | list):
                _find_doubled(item, join_path(path, key), found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _find_doubled(item, f"{path}[{index}]", found)


def _count(value: Any) -> int:
    """How many keys there are."""
    if type(value) is dict:
        return len(value) + sum(_count(item) for item in value.values() if type(item) in (dict, list))
    if type(value) is list:
        return sum(_count(item) for item in value if type(item) in (dict, list))
    return 0
