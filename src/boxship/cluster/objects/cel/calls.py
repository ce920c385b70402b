"""Calls: operators, functions and methods. Macros, whose arguments are not values, are `macros`'."""

from collections.abc import Callable, Sequence
from typing import Any

from boxship.cluster.objects.cel import functions, functions_lists, kinds, macros, operators, values
from boxship.cluster.objects.cel.building import BROKEN, Builder, Built, Frame, Run
from boxship.cluster.objects.cel.functions import Overload
from boxship.cluster.objects.cel.kinds import BOOL, DYN
from boxship.cluster.objects.cel.syntax import Call
from boxship.cluster.objects.cel.values import Exhausted, Failed
from boxship.errors import BoxshipError

SIZE_OF_A_STEP = 64  # characters that cost as much as one step
ITEMS_OF_A_STEP = 8
COMPARED_IN_A_STEP = 4


def build(builder: Builder, node: Call) -> Built:
    special = _SPECIAL.get(node.name) if node.target is None else None
    if special is not None:
        return special(builder, node)
    macro = macros.find(builder, node)
    if macro is not None:
        return macro
    return _function(builder, node)


def _function(builder: Builder, node: Call) -> Built:
    name, method = node.name, node.target is not None
    args = node.args
    if node.target is not None:
        dotted = builder.qualified(node.target)
        if dotted and (f"{dotted}.{name}", False) in builder.library:
            name, method = f"{dotted}.{name}", False
        else:
            args = (node.target, *args)
    overloads = builder.library.get((name, method), ())
    if not overloads:
        return builder.fail(node.at, f"undeclared reference to '{name}' (in container '')")
    built = [builder.build(arg) for arg in args]
    if BROKEN in built:
        return BROKEN
    return _overloaded(builder, node, name, overloads, built, method)


def _overloaded(
    builder: Builder, node: Call, name: str, overloads: Sequence[Overload], args: list[Built], method: bool
) -> Built:
    types = [arg.kind for arg in args]
    found = functions.matching(overloads, types)
    if not found:
        return builder.fail(node.at, functions.no_overload(name, types, method))
    kind = found[0][1]
    for _, other in found[1:]:
        kind = kind if other == kind else DYN
    runs = [arg.run for arg in args]
    uncertain = len(found) > 1 or any(one.name == "dyn" for one in types) or any("dyn" in str(one) for one in types)
    if uncertain:
        return Built(kind, _dispatched([one for one, _ in found], runs))
    return Built(kind, _called(found[0][0].run, runs))


def _called(function: Callable[..., Any], runs: list[Run]) -> Run:
    def run(frame: Frame) -> Any:
        return _invoke(function, frame, [part(frame) for part in runs])

    return run


def _dispatched(overloads: list[Overload], runs: list[Run]) -> Run:
    """The overload is chosen by the values."""

    def run(frame: Frame) -> Any:
        args = [part(frame) for part in runs]
        for one in overloads:
            if all(functions.fits(kind, arg) for kind, arg in zip(one.args, args, strict=True)):
                return _invoke(one.run, frame, args)
        raise Failed(operators.NO_OVERLOAD)

    return run


def _invoke(function: Callable[..., Any], frame: Frame, args: list[Any]) -> Any:
    cost = 1
    for arg in args:
        if isinstance(arg, str | bytes):
            cost += len(arg) // SIZE_OF_A_STEP
        elif isinstance(arg, list):
            cost += len(arg) // ITEMS_OF_A_STEP
    compares = functions_lists.COMPARISONS.get(function)
    if compares is not None:
        cost += compares(args) // COMPARED_IN_A_STEP
    frame.spend(cost)
    try:
        result = function(*args)
    except Failed:
        raise
    except (BoxshipError, ValueError, TypeError, ArithmeticError, KeyError, AttributeError) as wrong:
        raise Failed(str(wrong)) from None
    if isinstance(result, str | bytes):
        frame.spend(len(result) // SIZE_OF_A_STEP)
    elif isinstance(result, list):
        frame.spend(len(result) // 2)  # memory is to be paid for too
    return result


def _both(builder: Builder, node: Call) -> Built:
    """|| and &&: an error on one side does not count where the other side decides."""
    decides = node.name == "_||_"
    parts = [builder.build(arg) for arg in node.args]
    if BROKEN in parts:
        return BROKEN
    for place, part in enumerate(parts):
        if not kinds.unify(BOOL, part.kind, {}):
            types = (part.kind, BOOL) if place == 0 else (BOOL, part.kind)
            return builder.fail(node.at, functions.no_overload(node.name, types, method=False))
    runs = [part.run for part in parts]

    def run(frame: Frame) -> bool:
        wrong: Failed | None = None
        for part in runs:
            try:
                value = part(frame)
            except Exhausted:
                raise
            except Failed as failed:
                wrong = failed
                continue
            if not isinstance(value, bool):
                wrong = Failed(operators.NO_OVERLOAD)
            elif value is decides:
                return value
        if wrong is not None:
            raise wrong
        return not decides

    return Built(BOOL, run)


def _choice(builder: Builder, node: Call) -> Built:
    condition, yes, no = (builder.build(arg) for arg in node.args)
    if BROKEN in (condition, yes, no):
        return BROKEN
    if not kinds.unify(BOOL, condition.kind, {}):
        types = (condition.kind, yes.kind, no.kind)
        return builder.fail(node.at, functions.no_overload("_?_:_", types, method=False))
    kind = kinds.joined(yes.kind, no.kind)
    if kind == DYN and DYN not in (yes.kind, no.kind):
        types = (condition.kind, yes.kind, no.kind)
        return builder.fail(node.at, functions.no_overload("_?_:_", types, method=False))
    test, one, other = condition.run, yes.run, no.run

    def run(frame: Frame) -> Any:
        value = test(frame)
        if not isinstance(value, bool):
            raise Failed(operators.NO_OVERLOAD)
        return one(frame) if value else other(frame)

    return Built(kind, run)


def _equality(builder: Builder, node: Call) -> Built:
    """== and !=; lists that are sets or maps are equal in any order."""
    left, right = (builder.build(arg) for arg in node.args)
    if BROKEN in (left, right):
        return BROKEN
    if not (kinds.unify(left.kind, right.kind, {}) or kinds.unify(right.kind, left.kind, {})):
        return builder.fail(node.at, functions.no_overload(node.name, (left.kind, right.kind), method=False))
    one, other, wanted = left.run, right.run, node.name == "_==_"
    schema = next((part.kind.schema for part in (left, right) if values.unordered(part.kind)), None)

    def run(frame: Frame) -> bool:
        first, second = one(frame), other(frame)
        cost = len(first) // SIZE_OF_A_STEP if isinstance(first, str) else values.weight(first) // COMPARED_IN_A_STEP
        frame.spend(1 + cost)
        if schema is not None and isinstance(first, list) and isinstance(second, list):
            return values.equal_lists(first, second, schema) is wanted
        return values.equal(first, second) is wanted

    return Built(BOOL, run)


_ARITHMETIC: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "_+_": (
        operators.add,
        (
            "int int int",
            "uint uint uint",
            "double double double",
            "string string string",
            "bytes bytes bytes",
            "duration duration duration",
            "timestamp duration timestamp",
            "duration timestamp timestamp",
            "list(A) list(A) list(A)",
        ),
    ),
    "_-_": (
        operators.subtract,
        (
            "int int int",
            "uint uint uint",
            "double double double",
            "duration duration duration",
            "timestamp duration timestamp",
            "timestamp timestamp duration",
        ),
    ),
    "_*_": (operators.multiply, ("int int int", "uint uint uint", "double double double")),
    "_/_": (operators.divide, ("int int int", "uint uint uint", "double double double")),
    "_%_": (operators.remainder, ("int int int", "uint uint uint")),
    "-_": (operators.negate, ("int int", "double double", "duration duration")),
    "!_": (operators.invert, ("bool bool",)),
    "@in": (operators.contained, ("A list(A) bool", "A map(A,B) bool")),
}
_ORDERED = ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "semver", "quantity")
_NUMBERS = ("int", "uint", "double")
_COMPARED = tuple(
    f"{one} {other} bool" for one in _ORDERED for other in _ORDERED if one == other or {one, other} <= {*_NUMBERS}
)
for _name, _run in (
    ("_<_", operators.less),
    ("_<=_", operators.less_or_equal),
    ("_>_", operators.greater),
    ("_>=_", operators.greater_or_equal),
):
    _ARITHMETIC[_name] = (_run, _COMPARED)
_OVERLOADS: dict[str, tuple[Overload, ...]] = {}


def _overloads_of(name: str) -> tuple[Overload, ...]:
    if name not in _OVERLOADS:
        run, forms = _ARITHMETIC[name]
        found = []
        for form in forms:
            *args, result = (kinds.parsed(text) for text in form.split(" "))
            found.append(Overload(name, False, tuple(args), result, run))
        _OVERLOADS[name] = tuple(found)
    return _OVERLOADS[name]


def _operator(builder: Builder, node: Call) -> Built:
    args = [builder.build(arg) for arg in node.args]
    if BROKEN in args:
        return BROKEN
    types = [arg.kind for arg in args]
    overloads = _overloads_of(node.name)
    found = functions.matching(overloads, types)
    if not found:
        return builder.fail(node.at, functions.no_overload(node.name, types, method=False))
    kind = found[0][1] if all(other == found[0][1] for _, other in found) else DYN
    runs, run = [arg.run for arg in args], _ARITHMETIC[node.name][0]
    if node.name == "_+_" and values.unordered(types[0]):
        kind, schema = types[0], types[0].schema
        return Built(kind, _called(lambda one, other: values.added_lists(one, other, schema), runs))
    return Built(kind, _called(run, runs))


_SPECIAL: dict[str, Callable[[Builder, Call], Built]] = {
    "_||_": _both,
    "_&&_": _both,
    "_?_:_": _choice,
    "_==_": _equality,
    "_!=_": _equality,
    **dict.fromkeys(_ARITHMETIC, _operator),
}
