"""Sets of completion indexes and their text: "0-2,5,7,8"."""

import functools
from collections.abc import Iterable


@functools.lru_cache(maxsize=64)
def parse(text: str, limit: int) -> frozenset[int]:
    """Those below the limit."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found.update(range(int(first), min(int(last or first) + 1, limit)))
    return frozenset(index for index in found if index < limit)


def text_of(indexes: Iterable[int]) -> str:
    parts: list[str] = []
    first = last = -2
    for index in sorted(indexes):
        if index == last + 1:
            last = index
            continue
        _write(parts, first, last)
        first = last = index
    _write(parts, first, last)
    return ",".join(parts)


def _write(parts: list[str], first: int, last: int) -> None:
    if first < 0:
        return
    if last == first:
        parts.append(str(first))
    else:
        parts.append(f"{first}{',' if last == first + 1 else '-'}{last}")
