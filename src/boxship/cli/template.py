"""Go templates, as far as people use them with `--format`: parse once, apply to each value.

Known: fields, variables, pipelines, parentheses, `if`, `with`, `range`, `else`, `else if`, `break`, `continue`,
comments, trim markers, and the functions of `template_functions`. Values are what JSON gives, and `Row`s. What is not
known is refused by name. It never calls anything but the functions in the table and a row's own methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from boxship.cli.template_functions import BUILTINS, TemplateError, show, truth
from boxship.cli.template_parse import Node, Operand, Pipeline, parse_template
from boxship.errors import Invalid

# Fields that Docker leaves out of an answer when they are empty: reading them is not a mistake.
OPTIONAL = frozenset(
    "Health Healthcheck SizeRw SizeRootFs StopSignal StopTimeout Shell OnBuild Domainname Annotations Comment Author "
    "Labels Ports Mounts UsageData Status CreatedAt Options Size Names Platform ExposedPorts Volumes Entrypoint".split()
)

Value = object
Function = Callable[..., Value]


class Row:
    """One line of a listing: its fields are computed when a template asks for them."""

    __slots__ = ("_fields", "_item", "_methods")

    def __init__(
        self,
        fields: Mapping[str, Callable[[Value], Value]],
        item: Value,
        methods: Mapping[str, Callable[..., Value]] | None = None,
    ) -> None:
        self._fields = fields
        self._item = item
        self._methods = methods or {}

    def field(self, name: str, arguments: Sequence[Value]) -> Value:
        if name in self._methods:
            return self._methods[name](self._item, *arguments)
        if name not in self._fields or arguments:
            raise TemplateError(f'no field "{name}"; there are: {", ".join(sorted(self._fields))}')
        return self._fields[name](self._item)

    def values(self) -> dict[str, Value]:
        """Every field, sorted by name: what `{{json .}}` shows."""
        return {name: self._fields[name](self._item) for name in sorted(self._fields)}


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Template:
    """A parsed template. `functions` are added to the built-in ones."""

    def __init__(self, source: str, functions: Mapping[str, Function] | None = None) -> None:
        self._functions: dict[str, Function] = {**BUILTINS, **(functions or {})}
        try:
            self._nodes = parse_template(source)
            self._check(self._nodes)
        except TemplateError as error:
            raise Invalid(f"cannot use the template {source!r}: {error}") from None

    def apply(self, value: Value) -> str:
        """The text for one value. Raises Invalid."""
        parts: list[str] = []
        try:
            self._run(self._nodes, value, [{"$": value}], parts)
        except TemplateError as error:
            raise Invalid(f"cannot apply the template: {error}") from None
        except RecursionError:
            raise Invalid("cannot apply the template: nested too deeply") from None
        return "".join(parts)

    def _check(self, nodes: list[Node]) -> None:
        for node in nodes:
            if node[0] in ("show", "if", "with", "range"):
                self._check_pipeline(node[1])
                for inner in node[2:]:
                    self._check(inner)

    def _check_pipeline(self, pipeline: Pipeline) -> None:
        for command in pipeline[2]:
            for operand in command:
                if operand[0] == "function" and operand[1] not in self._functions:
                    raise TemplateError(f'function "{operand[1]}" not defined')
                if operand[0] == "group":
                    self._check_pipeline(operand[1])

    def _run(self, nodes: list[Node], dot: Value, scopes: list[dict[str, Value]], parts: list[str]) -> None:
        for node in nodes:
            kind = node[0]
            if kind == "text":
                parts.append(node[1])
            elif kind == "show":
                value = self._pipe(node[1], dot, scopes)
                if not node[1][0]:
                    parts.append(show(value))
            elif kind == "break":
                raise _Break
            elif kind == "continue":
                raise _Continue
            elif kind == "range":
                self._run_range(node, dot, scopes, parts)
            else:
                inner = [*scopes, {}]
                value = self._pipe(node[1], dot, inner)
                if truth(value):
                    self._run(node[2], value if kind == "with" else dot, inner, parts)
                else:
                    self._run(node[3], dot, inner, parts)

    def _run_range(self, node: Node, dot: Value, scopes: list[dict[str, Value]], parts: list[str]) -> None:
        names, declares, commands = node[1]
        value = self._pipe(([], False, commands), dot, scopes)
        pairs = _pairs(value)
        if not pairs:
            self._run(node[3], dot, [*scopes, {}], parts)
            return
        for key, item in pairs:
            scope: dict[str, Value] = {}
            inner = [*scopes, scope]
            bound = dict(zip(names, (item,) if len(names) == 1 else (key, item), strict=False))
            if declares:
                scope.update(bound)
            else:
                for name, content in bound.items():
                    _assign(scopes, name, content)
            try:
                self._run(node[2], item, inner, parts)
            except _Continue:
                continue
            except _Break:
                break

    def _pipe(self, pipeline: Pipeline, dot: Value, scopes: list[dict[str, Value]]) -> Value:
        names, declares, commands = pipeline
        value: Value = None
        for index, command in enumerate(commands):
            value = self._command(command, dot, scopes, [value] if index else [])
        for name in names:
            if declares:
                scopes[-1][name] = value
            else:
                _assign(scopes, name, value)
        return value

    def _command(self, command: list[Operand], dot: Value, scopes: list[dict[str, Value]], piped: list[Value]) -> Value:
        first = command[0]
        if first[0] == "function" and first[1] in ("and", "or"):
            return self._short_circuit(first[1], command[1:], dot, scopes, piped)
        arguments = [self._operand(operand, dot, scopes, []) for operand in command[1:]] + piped
        if first[0] == "function":
            return _invoke(self._functions[first[1]], first[1], arguments)
        if first[0] in ("literal", "dot", "group") and arguments:
            raise TemplateError("cannot give arguments to a value that is not a function")
        return self._operand(first, dot, scopes, arguments)

    def _short_circuit(
        self, name: str, operands: list[Operand], dot: Value, scopes: list[dict[str, Value]], piped: list[Value]
    ) -> Value:
        value: Value = None
        for operand in operands:
            value = self._operand(operand, dot, scopes, [])
            if truth(value) == (name == "or"):
                return value
        return piped[0] if piped else value

    def _operand(self, operand: Operand, dot: Value, scopes: list[dict[str, Value]], arguments: list[Value]) -> Value:
        kind = operand[0]
        if kind == "dot":
            return dot
        if kind == "literal":
            value: Value = operand[1]
            return value
        if kind == "field":
            return _fields(dot, operand[1], arguments)
        if kind == "function":
            return _invoke(self._functions[operand[1]], operand[1], arguments)
        if kind == "group":
            return _fields(self._pipe(operand[1], dot, scopes), operand[2], arguments)
        for scope in reversed(scopes):
            if operand[1] in scope:
                return _fields(scope[operand[1]], operand[2], arguments)
        raise TemplateError(f"undefined variable {operand[1]}")


def _invoke(function: Function, name: str, arguments: list[Value]) -> Value:
    try:
        return function(*arguments)
    except TypeError:
        raise TemplateError(f"wrong number or kind of arguments for {name}") from None


def _assign(scopes: list[dict[str, Value]], name: str, value: Value) -> None:
    for scope in reversed(scopes):
        if name in scope:
            scope[name] = value
            return
    raise TemplateError(f"undefined variable {name}")


def _pairs(value: Value) -> list[tuple[Value, Value]]:
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(min(value, 1_000_000))]
    if value is None:
        return []
    raise TemplateError(f"range can't iterate over {show(value)}")


def _fields(value: Value, names: list[str], arguments: list[Value]) -> Value:
    for index, name in enumerate(names):
        last = arguments if index == len(names) - 1 else []
        if isinstance(value, Row):
            value = value.field(name, last)
        elif isinstance(value, dict):
            if last:
                raise TemplateError(f"{name} is not a method but has arguments")
            if name not in value and name not in OPTIONAL:
                raise TemplateError(f'map has no entry for key "{name}"')
            value = value.get(name)
        elif value is None:
            raise TemplateError(f"nil pointer evaluating .{name}")
        else:
            raise TemplateError(f"can't evaluate field {name} in {show(value)}")
    return value
