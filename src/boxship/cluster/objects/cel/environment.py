"""Expressions as others use them: compile with declared variables, evaluate with their values."""

import functools
from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.cluster.objects.cel import (
    calls,
    functions,
    functions_core,
    functions_lists,
    functions_text,
    functions_values,
    kinds,
    syntax,
)
from boxship.cluster.objects.cel.building import Builder, Frame, Objects, Run
from boxship.cluster.objects.cel.functions import Library
from boxship.cluster.objects.cel.kinds import Kind
from boxship.cluster.objects.cel.values import Failed
from boxship.errors import Invalid

BUDGET = 300_000  # steps of one expression; some tenths of a second
ERRORS_SHOWN = 100


class Program(msgspec.Struct, frozen=True):
    """A compiled expression. `kind` is the type of what it gives, `used` the variables that it names."""

    text: str
    kind: Kind
    run: Run
    used: frozenset[str] = frozenset()


@functools.cache
def library() -> Library:
    """All functions but those of the authorizer."""
    return functions.library(
        functions_core.CONVERSIONS,
        functions_core.SIZES,
        functions_core.TIME,
        functions_core.OPTIONALS,
        functions_text.TEXT,
        functions_lists.LISTS,
        functions_values.VALUES,
    )


def compile(
    text: str,
    variables: Mapping[str, Kind],
    *,
    gives: tuple[Kind, ...] = (),
    extra: Library | None = None,
    objects: Objects | None = None,
) -> Program:
    """The program of an expression. `gives` are the types of which its value must be (none: any). Raises Invalid with
    cel-go's text, which begins with "compilation failed: " where the expression itself is wrong."""
    try:
        tree = syntax.parse(text)
        functions_known = library() if extra is None else {**library(), **extra}
        builder = Builder(text, dict(variables), functions_known, calls.build, objects)
        built = builder.build(tree)
    except Invalid as wrong:
        raise Invalid(f"compilation failed: {wrong}") from None
    except RecursionError:
        raise Invalid("compilation failed: expression recursion limit exceeded") from None
    if builder.errors:
        listed = "\n".join(str(error) for error in builder.errors[:ERRORS_SHOWN])
        raise Invalid(f"compilation failed: {listed}")
    if gives and not any(kinds.unify(kind, built.kind, {}) for kind in gives):
        wanted = " or ".join(kind.name for kind in gives)
        if wanted == "bool":
            raise Invalid("cel expression must evaluate to a bool")
        raise Invalid(f"must evaluate to {wanted}")
    return Program(text, built.kind, built.run, frozenset(builder.used))


def evaluate(program: Program, values: Mapping[str, Any], *, budget: int = BUDGET) -> Any:
    """The value of a program. Raises values.Failed with cel-go's text; values.Exhausted where it takes too much."""
    return run(program, Frame(dict(values), budget))


def run(program: Program, frame: Frame) -> Any:
    """The same in a frame that several programs share, and with it one budget."""
    try:
        return program.run(frame)
    except RecursionError:
        raise Failed("expression recursion limit exceeded") from None


__all__ = ["BUDGET", "Frame", "Program", "compile", "evaluate", "library", "run"]
