"""Amounts that are a number or a percentage of another."""

import math


def amount_of(value: int | str | None, total: int, *, up: bool) -> int:
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    text = value.removesuffix("%")
    if not value.endswith("%") or not text.isdigit():
        return int(value) if value.isdigit() else 0
    share = int(text) * total / 100
    return math.ceil(share) if up else math.floor(share)


def fences(surge: int | str | None, unavailable: int | str | None, desired: int) -> tuple[int, int]:
    """How many more, and how many fewer than desired a rolling update may have: never both zero, or it could not
    begin."""
    more, fewer = amount_of(surge, desired, up=True), amount_of(unavailable, desired, up=False)
    return more, 1 if more == 0 and fewer == 0 else fewer
