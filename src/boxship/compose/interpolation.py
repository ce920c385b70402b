"""Variables in values: `$NAME`, `${NAME}` and the forms with a default, a demand or a replacement; `$$` is a dollar.

A dollar before anything else stays a dollar. A text is parsed to parts first and evaluated then, so that its variables
can be listed without any environment, and so that only a default that is used asks for variables of its own. Keys are
never interpolated. It must never run a command, nor look at an environment that it was not given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Pairs

from msgspec import Struct
from msgspec.structs import replace

from boxship.compose.document import Entry, FileError, Node, Place, Scalar, Sequence
from boxship.errors import Invalid

NESTING_LEVELS = 32  # variables in operands of variables
VALUE_CHARACTERS = 1024 * 1024  # of one value after substitution

Lookup = Callable[[str], str | None]
Path = tuple[str, ...]  # steps into a tree: keys, and "[0]" for an item of a list

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_BRACES = re.compile(r"\$\{|\}")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")


class Variable(Struct, frozen=True):
    """One use of a variable. `operator` is "" or one of the six; `operand` is what follows it, `source` its text."""

    name: str
    operator: str = ""
    operand: tuple[Part, ...] = ()
    source: str = ""


Part = str | Variable


class TemplateError(Invalid):
    """The text is no valid template, or demands a variable that is not there."""


class Use(Struct, frozen=True):
    """A variable as a project's files use it, for listing: its default, its replacement, and whether it must be set."""

    name: str
    required: bool = False
    default: str = ""
    replacement: str = ""


def parse(template: str, level: int = 0) -> tuple[Part, ...]:
    """The parts of a text. Raises TemplateError."""
    if level > NESTING_LEVELS:
        raise TemplateError(f"variables nested deeper than {NESTING_LEVELS} levels")
    parts: list[Part] = []
    position = 0
    while (dollar := template.find("$", position)) >= 0:
        if dollar > position:
            parts.append(template[position:dollar])
        part, position = _parse_one(template, dollar, level)
        parts.append(part)
    if position < len(template):
        parts.append(template[position:])
    return tuple(parts)


def _parse_one(template: str, dollar: int, level: int) -> tuple[Part, int]:
    """What begins with the dollar at that index, and the index behind it."""
    following = template[dollar + 1 : dollar + 2]
    if following == "$":
        return "$", dollar + 2
    if following == "{":
        end = _closing(template, dollar)
        return _braced(template[dollar + 2 : end], level), end + 1
    name = _NAME.match(template, dollar + 1)
    return (Variable(name[0]), name.end()) if name else ("$", dollar + 1)


def _closing(template: str, dollar: int) -> int:
    """The index of the brace that closes the `${` at `dollar`; only `${` opens another one."""
    depth = 0
    for brace in _BRACES.finditer(template, dollar):
        depth += 1 if brace[0] != "}" else -1
        if depth == 0:
            return brace.start()
    raise _invalid(template[dollar:])


def _braced(inside: str, level: int) -> Variable:
    name = _NAME.match(inside)
    if name is None:
        raise _invalid(f"${{{inside}}}")
    rest = inside[name.end() :]
    if not rest:
        return Variable(name[0])
    operator = next((each for each in _OPERATORS if rest.startswith(each)), None)
    if operator is None:
        raise _invalid(f"${{{inside}}}")
    source = rest[len(operator) :]
    return Variable(name[0], operator, parse(source, level + 1), source)


def _invalid(template: str) -> TemplateError:
    excerpt = template if len(template) <= 200 else f"{template[:200]}…"
    return TemplateError(f"{excerpt!r} is no variable; you may need to escape any $ with another $")


def evaluate(parts: tuple[Part, ...], lookup: Lookup, missing: Callable[[str], None]) -> str:
    """The text with all variables put in; `missing` is told of each that has neither value nor operand. Raises
    TemplateError for a demand (`?`) that is not met."""
    text = "".join(part if isinstance(part, str) else _value(part, lookup, missing) for part in parts)
    if len(text) > VALUE_CHARACTERS:
        raise TemplateError(f"longer than {VALUE_CHARACTERS} characters")
    return text


def _value(variable: Variable, lookup: Lookup, missing: Callable[[str], None]) -> str:
    value = lookup(variable.name)
    operator = variable.operator
    if not operator:
        if value is None:
            missing(variable.name)
        return value or ""
    given = value is not None and (value != "" or not operator.startswith(":"))
    if operator.endswith("+"):
        return evaluate(variable.operand, lookup, missing) if given else ""
    if given:
        return value or ""
    operand = evaluate(variable.operand, lookup, missing)
    if operator.endswith("?"):
        raise TemplateError(
            f"required variable {variable.name} is missing a value" + (f": {operand}" if operand else "")
        )
    return operand


def substitute(template: str, lookup: Lookup, missing: Callable[[str], None] = lambda name: None) -> str:
    """`template` with its variables put in. Raises TemplateError."""
    return evaluate(parse(template), lookup, missing) if "$" in template else template


def unset(name: str) -> str:
    """The warning for a variable without a value, as Docker Compose words it."""
    return f'The "{name}" variable is not set. Defaulting to a blank string.'


def shown(path: Path) -> str:
    """A field's path for a message: services.web.ports[0]."""
    return "".join(step if step.startswith("[") else f".{step}" for step in path).removeprefix(".")


class Interpolator:
    """Puts one environment into trees. `warnings` collects, each once, what its host should say."""

    def __init__(self, environment: Pairs[str, str]) -> None:
        self.environment = environment
        self.warnings: dict[str, None] = {}

    def _missing(self, name: str) -> None:
        self.warnings[unset(name)] = None

    def apply(self, node: Node, path: Path = ()) -> Node:
        """The same tree with variables put in; what does not change stays the same object. What comes of a variable is
        a text, which the table of fields reads as the type of its field. Raises FileError."""
        if isinstance(node, Scalar):
            return self._scalar(node, path)
        if isinstance(node, Sequence):
            items = tuple(self.apply(item, (*path, f"[{index}]")) for index, item in enumerate(node.items))
            return node if _same(items, node.items) else replace(node, items=items)
        entries = tuple(self._entry(entry, path) for entry in node.entries)
        return node if _same(entries, node.entries) else replace(node, entries=entries)

    def _entry(self, entry: Entry, path: Path) -> Entry:
        value = self.apply(entry.value, (*path, entry.key))
        return entry if value is entry.value else replace(entry, value=value)

    def _scalar(self, scalar: Scalar, path: Path) -> Scalar:
        if not isinstance(scalar.value, str) or "$" not in scalar.value:
            return scalar
        text = self.text(scalar.value, scalar.place, path)
        return replace(scalar, value=text, text=text)

    def text(self, template: str, place: Place, path: Path) -> str:
        """One text with variables put in. Raises FileError with the field's path."""
        try:
            parts = parse(template)
        except TemplateError as error:
            raise FileError(place, f"invalid interpolation format for {shown(path)}: {error}") from None
        try:
            found = evaluate(parts, self.environment.get, self._missing)
            found.encode()
            return found
        except UnicodeEncodeError:
            raise FileError(place, f"cannot use a variable in {shown(path)}: its value is not UTF-8") from None
        except TemplateError as error:
            raise FileError(place, f"error while interpolating {shown(path)}: {error}") from None


def _same(ones: tuple[object, ...], others: tuple[object, ...]) -> bool:
    return all(one is other for one, other in zip(ones, others, strict=True))


def uses(node: Node) -> Iterator[Use]:
    """Every use of a variable in a tree's values; texts that are no valid template have none."""
    if isinstance(node, Scalar):
        if isinstance(node.value, str) and "$" in node.value:
            try:
                yield from _uses(parse(node.value))
            except TemplateError:
                return
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from uses(item)
    else:
        for entry in node.entries:
            yield from uses(entry.value)


def _uses(parts: tuple[Part, ...]) -> Iterator[Use]:
    for part in parts:
        if isinstance(part, Variable):
            kind = part.operator[-1:]
            default = part.source if kind == "-" else ""
            yield Use(part.name, kind == "?", default, part.source if kind == "+" else "")
            yield from _uses(part.operand)
