"""From a tree to a program: types are checked and errors collected, and each node becomes one function of a frame.

A frame holds the variables of one evaluation and what is left of its budget. Nothing is looked up by type at run time
where the types are known before.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects.cel import functions, kinds, operators, syntax, values
from boxship.cluster.objects.cel.functions import Library
from boxship.cluster.objects.cel.kinds import BOOL, DYN, ERROR, Kind
from boxship.cluster.objects.cel.syntax import Call, Index, Literal, Many, Mapping, Name, Node, Select
from boxship.cluster.objects.cel.values import Exhausted, Failed, Optional
from boxship.errors import Invalid

SECONDS_LIMIT = 5.0


class Frame:
    """One evaluation. Besides the budget, which is the same on every machine, its loops end after some seconds."""

    __slots__ = ("budget", "ends", "variables")

    def __init__(self, variables: dict[str, Any], budget: int) -> None:
        self.variables = variables
        self.budget = budget
        self.ends = time.monotonic() + SECONDS_LIMIT

    def spend(self, amount: int) -> None:
        self.budget -= amount
        if self.budget < 0:
            raise Exhausted("operation cancelled: actual cost limit exceeded")

    def turn(self) -> None:
        """One more turn of a loop."""
        if time.monotonic() > self.ends:
            self.budget = -1
        self.spend(1)


Run = Callable[[Frame], Any]


class Built(msgspec.Struct, frozen=True):
    """A part of a program: its type, and what computes it."""

    kind: Kind
    run: Run


class Objects(msgspec.Struct, frozen=True):
    """Types that an expression may make objects of ("Object", "Object.spec", "JSONPatch"), by name."""

    find: Callable[[str], Kind | None]


def _nothing(_: Frame) -> Any:
    raise Failed("an expression with errors was evaluated")


BROKEN = Built(ERROR, _nothing)


class Builder:
    """Builds one expression. `variables` are the declared ones; those of macros are added while their body is built."""

    def __init__(
        self,
        text: str,
        variables: dict[str, Kind],
        library: Library,
        call: "Callable[[Builder, Call], Built]",
        objects: Objects | None = None,
    ) -> None:
        """`call` builds calls: functions, operators and macros."""
        self.text = text
        self.build_call = call
        self.variables = dict(variables)
        self.slots: dict[str, str] = {}
        self.library = library
        self.objects = objects
        self.errors: list[Invalid] = []
        self.used: set[str] = set()  # declared variables that the expression names
        self.made = 0

    def fail(self, at: int, why: str) -> Built:
        self.errors.append(syntax.failed(self.text, at, why))
        return BROKEN

    def build(self, node: Node) -> Built:
        if isinstance(node, Literal):
            value = node.value
            return Built(node.kind, lambda frame: value)
        return _BUILDERS[type(node)](self, node)

    def with_variable(self, name: str, kind: Kind, node: Node) -> tuple[str, Built]:
        """Build a macro's body with one more variable; the slot of a frame in which it lies."""
        (slot,), body = self.with_variables([(name, kind)], node)
        return slot, body

    def with_variables(self, names: Sequence[tuple[str, Kind]], node: Node) -> tuple[list[str], Built]:
        kept, kept_slots = dict(self.variables), dict(self.slots)
        slots = []
        for name, kind in names:
            self.made += 1
            slot = f"{name} {self.made}"
            slots.append(slot)
            self.variables[name], self.slots[name] = kind, slot
        body = self.build(node)
        self.variables, self.slots = kept, kept_slots
        return slots, body

    def name(self, node: Name) -> Built:
        kind = self.variables.get(node.name)
        if kind is not None:
            return self.variable(node.name, kind)
        if node.name in kinds.NAMED or node.name in ("list", "map"):
            value = values.TypeValue("null_type" if node.name == "null_type" else node.name)
            return Built(kinds.TYPE, lambda frame: value)
        return self.fail(node.at, f"undeclared reference to '{node.name}' (in container '')")

    def variable(self, name: str, kind: Kind) -> Built:
        slot = self.slots.get(name)
        if slot is not None:
            return Built(kind, lambda frame: frame.variables[slot])
        self.used.add(name)
        adapt = values.adapter(kind)

        def run(frame: Frame) -> Any:
            frame.spend(1)
            try:
                found = frame.variables[name]
            except KeyError:
                raise Failed(f"no such attribute(s): {name}") from None
            return found if adapt is None else adapt(found)

        return Built(kind, run)

    def qualified(self, node: Node) -> str:
        """The dotted name that a chain of selections spells, if it does not begin with a variable; else ""."""
        parts: list[str] = []
        while isinstance(node, Select) and not node.optional and not node.test:
            parts.append(node.field)
            node = node.operand
        if not isinstance(node, Name) or node.name in self.variables:
            return ""
        return ".".join([node.name, *reversed(parts)])

    def select(self, node: Select) -> Built:
        if not node.test and not node.optional:
            dotted = self.qualified(node)
            if dotted in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
                return Built(kinds.TYPE, lambda frame: values.TypeValue(dotted))
        operand = self.build(node.operand)
        if operand is BROKEN:
            return BROKEN
        optional = operand.kind.name == "optional_type"
        inner = operand.kind.parts[0] if optional else operand.kind
        found = self.field(node, inner)
        if found is None:
            return BROKEN
        key, kind = found
        if node.test:
            return Built(BOOL, _tested(operand.run, key))
        run = _selected(operand.run, key, values.adapter(kind), optional=node.optional or optional)
        if (node.optional or optional) and kind.name != "optional_type":
            kind = kinds.optional_of(kind)
        return Built(kind, run)

    def field(self, node: Select, kind: Kind) -> tuple[str, Kind] | None:
        """The property that is selected, and its type."""
        if kind in (DYN, ERROR):
            return node.field if node.exact else kinds.unescaped(node.field), DYN
        if kind.name == "map":
            return node.field if node.exact else kinds.unescaped(node.field), kind.parts[1]
        if kind.name == "object" or isinstance(kind.schema, dict):
            if node.exact and not isinstance(kind.schema, dict):
                inner = kind.schema.fields.get(node.field)
                found = (node.field, kinds.of_schema(inner)) if inner is not None else None
            else:
                found = kinds.field_of(kind.schema, node.field)
            if found is None:
                self.fail(node.at, f"undefined field '{node.field}'")
            return found
        self.fail(node.at, f"type '{kind}' does not support field selection")
        return None

    def index(self, node: Index) -> Built:
        operand, index = self.build(node.operand), self.build(node.index)
        if BROKEN in (operand, index):
            return BROKEN
        optional = operand.kind.name == "optional_type"
        kind = operand.kind.parts[0] if optional else operand.kind
        result = DYN
        wrong = kind.name not in ("list", "map", "dyn")
        if kind.name == "list":
            wrong, result = index.kind.name not in ("int", "uint", "dyn"), kind.parts[0]
        elif kind.name == "map":
            wrong, result = not kinds.unify(kind.parts[0], index.kind, {}), kind.parts[1]
        if wrong:
            name = "_[?_]" if node.optional else "_[_]"
            return self.fail(node.at, functions.no_overload(name, (kind, index.kind), method=False))
        run, where = operand.run, index.run
        if node.optional or optional:
            return Built(kinds.optional_of(result), _indexed_optional(run, where))

        def at(frame: Frame) -> Any:
            frame.spend(1)
            return operators.at(run(frame), where(frame))

        return Built(result, at)

    def many(self, node: Many) -> Built:
        items = [self.build(item) for item in node.items]
        if BROKEN in items:
            return BROKEN
        kind: Kind | None = None
        for place, item in enumerate(items):
            found = item.kind
            if place in node.optional and found != DYN:
                if found.name != "optional_type":
                    shown = f"expected type 'optional_type({found})' but found '{found}'"
                    return self.fail(node.items[place].at, shown)
                found = found.parts[0]
            kind = found if kind is None else kinds.joined(kind, found)
        runs = [item.run for item in items]
        return Built(kinds.list_of(kind or DYN), _listed(runs, node.optional))

    def mapping(self, node: Mapping) -> Built:
        if node.type_name:
            return self.object(node)
        entries = [(self.build(key), self.build(value), optional) for key, value, optional in node.entries]
        if any(BROKEN in (key, value) for key, value, _ in entries):
            return BROKEN
        key_kind, value_kind = DYN, DYN
        for place, (key, value, optional) in enumerate(entries):
            found = value.kind.parts[0] if optional and value.kind.name == "optional_type" else value.kind
            key_kind = key.kind if place == 0 else kinds.joined(key_kind, key.kind)
            value_kind = found if place == 0 else kinds.joined(value_kind, found)
        runs = [(key.run, value.run, optional) for key, value, optional in entries]
        return Built(kinds.map_of(key_kind, value_kind), _mapped(runs))

    def object(self, node: Mapping) -> Built:
        """`Object.spec{…}`: a map whose fields are checked."""
        kind = self.objects.find(node.type_name) if self.objects is not None else None
        if kind is None:
            return self.fail(node.at, f"undeclared reference to '{node.type_name}' (in container '')")
        runs = []
        for key, value, optional in node.entries:
            assert isinstance(key, Literal)
            built = self.build(value)
            found = kinds.field_of(kind.schema, key.value) if kind.name == "object" else (key.value, DYN)
            if found is None:
                return self.fail(key.at, f"undefined field '{key.value}'")
            if built is BROKEN:
                return BROKEN
            actual = built.kind.parts[0] if optional and built.kind.name == "optional_type" else built.kind
            if not kinds.unify(found[1], actual, {}):
                shown = f"expected type of field '{key.value}' is '{found[1]}' but provided type is '{actual}'"
                return self.fail(key.at, shown)
            runs.append((_constant(found[0]), built.run, optional))
        return Built(kind, _mapped(runs))

    def call(self, node: Call) -> Built:
        return self.build_call(self, node)


def _constant(value: Any) -> Run:
    return lambda frame: value


def _selected(operand: Run, key: str, adapt: Callable[[Any], Any] | None, *, optional: bool) -> Run:
    def run(frame: Frame) -> Any:
        frame.spend(1)
        value = operand(frame)
        try:
            found = value[key]
        except KeyError:
            raise Failed(f"no such key: {key}") from None
        except TypeError:
            raise Failed(operators.NO_OVERLOAD) from None
        return found if adapt is None else adapt(found)

    def maybe(frame: Frame) -> Any:
        frame.spend(1)
        value = operand(frame)
        if isinstance(value, Optional):
            if not value.present:
                return value
            value = value.value
        if not isinstance(value, dict) or key not in value:
            return values.ABSENT
        found = value[key] if adapt is None else adapt(value[key])
        return found if isinstance(found, Optional) else Optional(True, found)

    return maybe if optional else run


def _tested(operand: Run, key: str) -> Run:
    def run(frame: Frame) -> bool:
        frame.spend(1)
        value = operand(frame)
        if isinstance(value, Optional):
            value = value.value if value.present else {}
        if not isinstance(value, dict):
            raise Failed(operators.NO_OVERLOAD)
        return key in value

    return run


def _indexed_optional(operand: Run, index: Run) -> Run:
    def run(frame: Frame) -> Any:
        frame.spend(1)
        value = operand(frame)
        if isinstance(value, Optional):
            if not value.present:
                return value
            value = value.value
        key = index(frame)
        if isinstance(value, list):
            inside = isinstance(key, int) and 0 <= key < len(value)
            return Optional(True, value[key]) if inside else values.ABSENT
        found = operators.key_of(value, key) if isinstance(value, dict) else None
        return Optional(True, value[found[0]]) if found is not None else values.ABSENT

    return run


def _listed(runs: list[Run], optional: frozenset[int]) -> Run:
    if not optional:

        def plain(frame: Frame) -> list[Any]:
            frame.spend(len(runs))
            return [run(frame) for run in runs]

        return plain

    def with_optional(frame: Frame) -> list[Any]:
        result = []
        for place, run in enumerate(runs):
            value = run(frame)
            if place not in optional:
                result.append(value)
            elif value.present:
                result.append(value.value)
        return result

    return with_optional


def _mapped(runs: list[tuple[Run, Run, bool]]) -> Run:
    def run(frame: Frame) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_run, value_run, optional in runs:
            key, value = key_run(frame), value_run(frame)
            if not isinstance(key, str | int | bool):
                raise Failed(f"unsupported key type: {values.type_name(key)}")
            if key in result:
                raise Failed(f"Failed with repeated key: {operators.shown(key)}")
            if not optional:
                result[key] = value
            elif value.present:
                result[key] = value.value
        return result

    return run


_BUILDERS: dict[type, Callable[[Builder, Any], Built]] = {
    Name: Builder.name,
    Select: Builder.select,
    Index: Builder.index,
    Many: Builder.many,
    Mapping: Builder.mapping,
    Call: Builder.call,
}
