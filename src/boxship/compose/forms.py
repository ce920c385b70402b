"""What gathering asks of the table of fields, as functions: so that neither knows the other."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from boxship.compose.document import Mapping, Scalar

Path = tuple[str, ...]  # steps into a tree: keys, and "[0]" for an item of a list


def _as_it_is(path: Path, scalar: Scalar) -> Scalar:
    return scalar


def _accepted(document: Mapping) -> None:
    return None


def _unchanged(document: Mapping, interpolated: bool) -> Mapping:
    return document


class Forms(Struct, frozen=True):
    """`cast` gives a text the type of its field; `check` refuses unknown fields and wrong types in one document (which
    may hold half a service); `canonical` writes every short form out and may be called again on its own result. All
    raise FileError, keep places and tags, and leave what is tagged `!reset` alone."""

    cast: Callable[[Path, Scalar], Scalar] = _as_it_is
    check: Callable[[Mapping], None] = _accepted
    canonical: Callable[[Mapping, bool], Mapping] = _unchanged
