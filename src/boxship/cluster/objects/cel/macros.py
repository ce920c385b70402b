"""Macros: calls whose arguments are names and expressions. Of one variable (`all`, `exists`, `exists_one`, `map`,
`filter`, `sortBy`), of two (with index or key and value), `cel.bind`, and those of optional values."""

import functools
from collections.abc import Callable
from typing import Any

from boxship.cluster.objects.cel import kinds, operators, values
from boxship.cluster.objects.cel.building import BROKEN, Builder, Built, Frame, Run
from boxship.cluster.objects.cel.kinds import BOOL, DYN, INT, Kind
from boxship.cluster.objects.cel.syntax import Call, Name, Node
from boxship.cluster.objects.cel.values import Exhausted, Failed, Optional

Pairs = Callable[[Any], list[tuple[Any, Any]]]


def find(builder: Builder, node: Call) -> Built | None:
    """The macro that the call is, built; None if it is none."""
    if node.target is None:
        return None
    if node.name == "bind" and isinstance(node.target, Name) and node.target.name == "cel" and len(node.args) == 3:
        return _bind(builder, node)
    build = _MACROS.get((node.name, len(node.args)))
    if build is None:
        return None
    return build(builder, node, node.target)


def _variable(builder: Builder, node: Node) -> str | None:
    if isinstance(node, Name):
        return node.name
    builder.fail(node.at, "argument must be a simple name")
    return None


def _bind(builder: Builder, node: Call) -> Built:
    name = _variable(builder, node.args[0])
    value = builder.build(node.args[1])
    if name is None or value is BROKEN:
        return BROKEN
    slot, body = builder.with_variable(name, value.kind, node.args[2])
    if body is BROKEN:
        return BROKEN
    first, then = value.run, body.run

    def run(frame: Frame) -> Any:
        frame.variables[slot] = first(frame)
        return then(frame)

    return Built(body.kind, run)


def _range(builder: Builder, at: int, target: Node) -> tuple[Built, Kind, Kind] | None:
    """What is gone through, and the types of its keys (or indexes) and values."""
    group = builder.build(target)
    if group is BROKEN:
        return None
    kind = group.kind
    if kind.name == "list":
        return group, INT, kind.parts[0]
    if kind.name == "map":
        return group, kind.parts[0], kind.parts[1]
    if kind == DYN:
        return group, DYN, DYN
    builder.fail(at, f"expression of type '{kind}' cannot be range of a comprehension (must be list, map, or dynamic)")
    return None


def _items(group: Any) -> list[Any]:
    """What a macro of one variable goes through: a list's items, a map's keys."""
    if isinstance(group, list | dict):
        return list(group)
    raise Failed(operators.NO_OVERLOAD)


def _pairs(group: Any) -> list[tuple[Any, Any]]:
    if isinstance(group, list):
        return list(enumerate(group))
    if isinstance(group, dict):
        return list(group.items())
    raise Failed(operators.NO_OVERLOAD)


class _Loop:
    """A comprehension's range and its body with one or two variables."""

    def __init__(self, builder: Builder, node: Call, target: Node, names: int, bodies: int) -> None:
        self.broken = True
        found = _range(builder, node.at, target)
        variables = [_variable(builder, arg) for arg in node.args[:names]]
        if found is None or None in variables:
            return
        self.group, key, value = found
        self.result_key = key
        types = [key, value] if names == 2 else [value if self.group.kind.name != "map" else key]
        declared = [(str(name), kind) for name, kind in zip(variables, types, strict=True)]
        self.slots: list[list[str]] = []
        self.bodies: list[Built] = []
        for arg in node.args[names : names + bodies]:
            slots, body = builder.with_variables(declared, arg)
            self.slots.append(slots)
            self.bodies.append(body)
        self.broken = BROKEN in self.bodies
        self.two = names == 2

    def steps(self, frame: Frame) -> list[Any]:
        group = self.group.run(frame)
        return _pairs(group) if self.two else _items(group)

    def body(self, frame: Frame, step: Any, number: int = 0) -> Any:
        """The value of one of the bodies for one step."""
        frame.turn()
        slots = self.slots[number]
        if self.two:
            frame.variables[slots[0]], frame.variables[slots[1]] = step
        else:
            frame.variables[slots[0]] = step
        return self.bodies[number].run(frame)

    def holds(self, frame: Frame, step: Any, number: int = 0) -> bool:
        value = self.body(frame, step, number)
        if not isinstance(value, bool):
            raise Failed(operators.NO_OVERLOAD)
        return value

    def is_test(self, builder: Builder, node: Call, number: int = 0) -> bool:
        """Whether the body is a condition; an error otherwise."""
        kind = self.bodies[number].kind
        if kinds.unify(BOOL, kind, {}):
            return True
        builder.fail(node.args[-1].at, f"expected type 'bool' but found '{kind}'")
        return False


def _quantified(decides: bool, names: int) -> Callable[[Builder, Call, Node], Built]:
    """all (a false decides) and exists (a true does); an error counts only where nothing decides."""

    def build(builder: Builder, node: Call, target: Node) -> Built:
        loop = _Loop(builder, node, target, names, 1)
        if loop.broken or not loop.is_test(builder, node):
            return BROKEN

        def run(frame: Frame) -> bool:
            wrong: Failed | None = None
            for step in loop.steps(frame):
                try:
                    if loop.holds(frame, step) is decides:
                        return decides
                except Exhausted:
                    raise
                except Failed as failed:
                    wrong = failed
            if wrong is not None:
                raise wrong
            return not decides

        return Built(BOOL, run)

    return build


def _single(names: int) -> Callable[[Builder, Call, Node], Built]:
    def build(builder: Builder, node: Call, target: Node) -> Built:
        loop = _Loop(builder, node, target, names, 1)
        if loop.broken or not loop.is_test(builder, node):
            return BROKEN

        def run(frame: Frame) -> bool:
            return sum(loop.holds(frame, step) for step in loop.steps(frame)) == 1

        return Built(BOOL, run)

    return build


def _filter(builder: Builder, node: Call, target: Node) -> Built:
    loop = _Loop(builder, node, target, 1, 1)
    if loop.broken or not loop.is_test(builder, node):
        return BROKEN
    kind = loop.group.kind
    item = kind.parts[0] if kind.parts else DYN

    def run(frame: Frame) -> list[Any]:
        return [step for step in loop.steps(frame) if loop.holds(frame, step)]

    return Built(kinds.list_of(item), run)


def _mapped(names: int, *, test: bool) -> Callable[[Builder, Call, Node], Built]:
    """map and transformList, with or without a condition before the value."""

    def build(builder: Builder, node: Call, target: Node) -> Built:
        loop = _Loop(builder, node, target, names, 2 if test else 1)
        if loop.broken or (test and not loop.is_test(builder, node, 0)):
            return BROKEN
        value = loop.bodies[-1].kind

        def run(frame: Frame) -> list[Any]:
            last = 1 if test else 0
            return [loop.body(frame, step, last) for step in loop.steps(frame) if not test or loop.holds(frame, step)]

        return Built(kinds.list_of(value), run)

    return build


def _mapping(*, test: bool, entries: bool) -> Callable[[Builder, Call, Node], Built]:
    """transformMap, and transformMapEntry, whose body is a map of the new entries."""

    def build(builder: Builder, node: Call, target: Node) -> Built:
        loop = _Loop(builder, node, target, 2, 2 if test else 1)
        if loop.broken or (test and not loop.is_test(builder, node, 0)):
            return BROKEN
        body = loop.bodies[-1].kind
        if entries and body.name not in ("map", "dyn"):
            return builder.fail(node.args[-1].at, f"expected type 'map' but found '{body}'")
        kind = body if entries else kinds.map_of(loop.result_key, body)

        def run(frame: Frame) -> dict[Any, Any]:
            result: dict[Any, Any] = {}
            for step in loop.steps(frame):
                if test and not loop.holds(frame, step):
                    continue
                value = loop.body(frame, step, 1 if test else 0)
                made = value if entries else {step[0]: value}
                for key, part in made.items():
                    if key in result:
                        raise Failed(f"insert failed: key {operators.shown(key)} already exists")
                    result[key] = part
            return result

        return Built(kind, run)

    return build


def _sort_by(builder: Builder, node: Call, target: Node) -> Built:
    loop = _Loop(builder, node, target, 1, 1)
    if loop.broken:
        return BROKEN

    def run(frame: Frame) -> list[Any]:
        steps = loop.steps(frame)
        frame.spend(len(steps))
        keyed = [(loop.body(frame, step), step) for step in steps]
        keyed.sort(key=functools.cmp_to_key(_by_first))
        return [step for _, step in keyed]

    return Built(loop.group.kind, run)


def _by_first(one: tuple[Any, Any], other: tuple[Any, Any]) -> int:
    return operators.compare(one[0], other[0])


def _optional_map(*, flat: bool) -> Callable[[Builder, Call, Node], Built]:
    """optMap and optFlatMap."""

    def build(builder: Builder, node: Call, target: Node) -> Built:
        name, value = _variable(builder, node.args[0]), builder.build(target)
        if name is None or value is BROKEN:
            return BROKEN
        if value.kind.name not in ("optional_type", "dyn"):
            return builder.fail(node.at, f"undeclared reference to '{node.name}' (in container '')")
        inner = value.kind.parts[0] if value.kind.parts else DYN
        slot, body = builder.with_variable(name, inner, node.args[1])
        if body is BROKEN:
            return BROKEN
        return Built(body.kind if flat else kinds.optional_of(body.kind), _opened(value.run, slot, body.run, flat))

    return build


def _opened(value: Run, slot: str, body: Run, flat: bool) -> Run:
    def run(frame: Frame) -> Any:
        found = value(frame)
        if not isinstance(found, Optional):
            raise Failed(operators.NO_OVERLOAD)
        if not found.present:
            return values.ABSENT
        frame.variables[slot] = found.value
        result = body(frame)
        return result if flat else Optional(True, result)

    return run


_MACROS: dict[tuple[str, int], Callable[[Builder, Call, Node], Built]] = {
    ("all", 2): _quantified(False, 1),
    ("all", 3): _quantified(False, 2),
    ("exists", 2): _quantified(True, 1),
    ("exists", 3): _quantified(True, 2),
    ("exists_one", 2): _single(1),
    ("existsOne", 2): _single(1),
    ("exists_one", 3): _single(2),
    ("existsOne", 3): _single(2),
    ("filter", 2): _filter,
    ("map", 2): _mapped(1, test=False),
    ("map", 3): _mapped(1, test=True),
    ("transformList", 3): _mapped(2, test=False),
    ("transformList", 4): _mapped(2, test=True),
    ("transformMap", 3): _mapping(test=False, entries=False),
    ("transformMap", 4): _mapping(test=True, entries=False),
    ("transformMapEntry", 3): _mapping(test=False, entries=True),
    ("transformMapEntry", 4): _mapping(test=True, entries=True),
    ("sortBy", 2): _sort_by,
    ("optMap", 2): _optional_map(flat=False),
    ("optFlatMap", 2): _optional_map(flat=True),
}
