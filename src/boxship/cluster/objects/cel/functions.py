"""What a library of functions is made of: overloads with their types, looked up by name."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects.cel import kinds, values
from boxship.cluster.objects.cel.kinds import Kind

Implementation = Callable[..., Any]


class Overload(msgspec.Struct, frozen=True):
    """One form of a function. A method's first argument is its target."""

    name: str
    method: bool
    args: tuple[Kind, ...]
    result: Kind
    run: Implementation


Library = dict[tuple[str, bool], tuple[Overload, ...]]


def overload(signature: str, run: Implementation) -> Overload:
    """From "string.charAt(int) -> string" or "size(list(A)) -> int"; "!" before the name of a function that has dots
    and no target ("!sets.contains(list(A),list(A)) -> bool")."""
    head, _, result = signature.partition(" -> ")
    name, _, rest = head.partition("(")
    depth, at = 0, -1
    if signature.startswith("!"):
        name = name[1:]
    else:
        # The method's name stands behind the last dot outside of brackets, before the last opening bracket.
        for place, character in enumerate(head):
            depth += (character == "(") - (character == ")")
            if character == "." and depth == 0:
                at = place
    if at >= 0:
        target, tail = head[:at], head[at + 1 :]
        name, _, rest = tail.partition("(")
        parts = [target, *_split(rest[:-1])]
    else:
        parts = _split(rest[:-1])
    return Overload(name, at >= 0, tuple(kinds.parsed(part) for part in parts), kinds.parsed(result), run)


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


def library(*tables: Iterable[tuple[str, Implementation]]) -> Library:
    found: dict[tuple[str, bool], list[Overload]] = {}
    for table in tables:
        for signature, run in table:
            one = overload(signature, run)
            found.setdefault((one.name, one.method), []).append(one)
    return {key: tuple(overloads) for key, overloads in found.items()}


def matching(overloads: Sequence[Overload], args: Sequence[Kind]) -> list[tuple[Overload, Kind]]:
    """The overloads that arguments of these types may mean, with the type of what each gives."""
    found = []
    for one in overloads:
        bound: dict[str, Kind] = {}
        if len(one.args) == len(args) and all(
            kinds.unify(expected, actual, bound) for expected, actual in zip(one.args, args, strict=True)
        ):
            found.append((one, kinds.resolved(one.result, bound)))
    return found


def fits(kind: Kind, value: Any) -> bool:
    """Whether a value is of that type, as far as its outside tells."""
    if kind.name in ("dyn", "!error!") or kind.name.startswith("<"):
        return True
    name = values.type_name(value)
    if kind.name == "object":
        return name == "map"
    return name == kind.name or (kind.name == "null" and value is None)


def no_overload(name: str, args: Sequence[Kind], method: bool) -> str:
    """cel-go's words."""
    listed = ", ".join(map(str, args[1:] if method else args))
    shown = f"{args[0]}.({listed})" if method else f"({listed})"
    return f"found no matching overload for '{name}' applied to '{shown}'"
