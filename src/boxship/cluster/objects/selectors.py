"""Label and field selectors: from the query's text or an object's `selector` to something that matches.

Facts and error texts: k8s.io/apimachinery, `pkg/labels` and `pkg/fields`. Which fields a kind can be selected by is
the kind's own knowledge (`rules`), not this module's.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import names
from boxship.cluster.objects.failure import Failure, bad_request

TEXT_LIMIT = 256 * 1024  # characters of one selector

IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS = "in", "notin", "=", "==", "!="
EXISTS, MISSING, GREATER, LESS = "exists", "!", "gt", "lt"
_BINARY = (IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS, GREATER, LESS)
_SIGNS = {"=": EQUALS, "==": DOUBLE_EQUALS, "!=": NOT_EQUALS, ">": GREATER, "<": LESS, "in": IN, "notin": NOT_IN}
_OBJECT_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": MISSING}
_SPECIAL = frozenset({"=", "==", "!=", "!", "(", ")", ",", ">", "<"})

_TOKEN = re.compile(r"==|!=|[=!(),<>]|[^=!(),<> \t\r\n]+")
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)

Labels = Mapping[str, str]


class Requirement(msgspec.Struct, frozen=True):
    """One condition on one label."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Labels) -> bool:
        value = labels.get(self.key)
        operator = self.operator
        if operator in (IN, EQUALS, DOUBLE_EQUALS):
            return value is not None and value in self.values
        if operator in (NOT_IN, NOT_EQUALS):
            return value is None or value not in self.values
        if operator == EXISTS:
            return value is not None
        if operator == MISSING:
            return value is None
        number, bound = _number(value or ""), _number(self.values[0])
        if number is None or bound is None:
            return False
        return number > bound if operator == GREATER else number < bound

    @property
    def text(self) -> str:
        joined = ",".join(sorted(self.values))
        if self.operator == EXISTS:
            return self.key
        if self.operator == MISSING:
            return f"!{self.key}"
        if self.operator in (IN, NOT_IN):
            return f"{self.key} {self.operator} ({joined})"
        sign = {GREATER: ">", LESS: "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{joined}"


class LabelSelector(msgspec.Struct, frozen=True):
    """All requirements must hold; none: everything matches, unless it is `nothing`."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @property
    def everything(self) -> bool:
        return not self.nothing and not self.requirements

    def matches(self, labels: Labels | None) -> bool:
        found = labels or {}
        return not self.nothing and all(requirement.matches(found) for requirement in self.requirements)

    def exact(self, key: str) -> str | None:
        """The one value that the label must have, if it is one."""
        for requirement in self.requirements:
            if requirement.key == key:
                single = requirement.operator in (IN, EQUALS, DOUBLE_EQUALS) and len(requirement.values) == 1
                return requirement.values[0] if single else None
        return None

    @property
    def text(self) -> str:
        return ",".join(requirement.text for requirement in self.requirements)


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)


def _number(text: str) -> int | None:
    number = int(text) if _NUMBER.fullmatch(text) else None
    return number if number is not None and -(1 << 63) <= number < 1 << 63 else None


def requirement(key: str, operator: str, values: Sequence[str]) -> Requirement:
    """A checked requirement. Raises Failure 400."""
    wrong = [_wrong("key", key, why)] if (why := names.qualified(key)) else []
    listed = msgspec.json.encode(values).decode()
    if operator in (IN, NOT_IN) and not values:
        wrong.append(f"values: Invalid value: {listed}: for 'in', 'notin' operators, values set can't be empty")
    elif operator in (EQUALS, DOUBLE_EQUALS, NOT_EQUALS) and len(values) != 1:
        wrong.append(f"values: Invalid value: {listed}: exact-match compatibility requires one single value")
    elif operator in (EXISTS, MISSING) and values:
        wrong.append(f"values: Invalid value: {listed}: values set must be empty for exists and does not exist")
    elif operator in (GREATER, LESS):
        if len(values) != 1:
            wrong.append(f"values: Invalid value: {listed}: for 'Gt', 'Lt' operators, exactly one value is required")
        whys = "for 'Gt', 'Lt' operators, the value must be an integer"
        wrong += [_wrong(f"values[{i}]", value, whys) for i, value in enumerate(values) if _number(value) is None]
    for i, value in enumerate(values):
        if why := names.label_value(value):
            wrong.append(_wrong(f"values[{i}][{key}]", value, why))
    if wrong:
        raise bad_request(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
    return Requirement(key, operator, tuple(values))


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _wrong(place: str, value: str, why: str) -> str:
    return f"{place}: Invalid value: {_quoted(value)}: {why}"


def parse_labels(text: str) -> LabelSelector:
    """The selector of a query ("a=b,c in (d, e),!f"). Raises Failure 400 with the original's text."""
    if len(text) > TEXT_LIMIT:
        raise bad_request(f"label selector is longer than {TEXT_LIMIT} characters")
    if not text.strip():
        return EVERYTHING
    found = _LabelParser([*_TOKEN.findall(text)]).parse()
    return LabelSelector(tuple(sorted(found, key=lambda one: one.key)))


class _LabelParser:
    """One pass over the tokens; "" stands for the end."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0

    def look(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self) -> str:
        token = self.look()
        self.place += 1
        return token

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while token := self.look():
            if token in _SPECIAL and token != "!":
                raise bad_request(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self.requirement())
            except Failure as refused:
                raise bad_request(f"unable to parse requirement: {refused}") from None
            after = self.take()
            if not after:
                break
            if after != ",":
                raise bad_request(f"found '{after}', expected: ',' or 'end of string'")
            following = self.look()
            if not following or (following in _SPECIAL and following != "!"):
                raise bad_request(f"found '{following}', expected: identifier after ','")
        return found

    def requirement(self) -> Requirement:
        key = self.take()
        missing = key == "!"
        if missing:
            key = self.take()
        if not key or key in _SPECIAL:
            raise bad_request(f"found '{key}', expected: identifier")
        if why := names.qualified(key):
            raise bad_request(_wrong("<nil>", key, why))
        if missing or self.look() in ("", ","):
            return requirement(key, MISSING if missing else EXISTS, ())
        sign = self.take()
        operator = _SIGNS.get(sign)
        if operator is None:
            raise bad_request(f"found '{sign}', expected: {', '.join(_BINARY)}")
        values = self.listed() if operator in (IN, NOT_IN) else self.exact()
        return requirement(key, operator, sorted(values))

    def exact(self) -> set[str]:
        if self.look() in ("", ","):
            return {""}
        token = self.take()
        if token in _SPECIAL:
            raise bad_request(f"found '{token}', expected: identifier")
        return {token}

    def listed(self) -> set[str]:
        opening = self.take()
        if opening != "(":
            raise bad_request(f"found '{opening}' expected: '('")
        values: set[str] = set()
        value = ""
        while True:
            token = self.take()
            if token in (",", ")"):
                values.add(value)
                value = ""
                if token == ")":
                    return values
            elif not value and (not token or token in _SPECIAL):
                raise bad_request(f"found '{token}', expected: ',', or identifier")
            elif value:
                raise bad_request(f"found '{token}', expected: ',' or ')'")
            else:
                value = token


def of_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """From a LabelSelector of an object (matchLabels, matchExpressions). None selects nothing, an empty one
    everything. Raises Failure 400."""
    if selector is None:
        return NOTHING
    found = [requirement(key, EQUALS, (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = _OBJECT_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise bad_request(f"{_quoted(expression.get('operator', ''))} is not a valid label selector operator")
        found.append(requirement(expression.get("key", ""), operator, tuple(expression.get("values") or ())))
    return LabelSelector(tuple(sorted(found, key=lambda one: one.key)))


def of_set(labels: Labels | None) -> LabelSelector:
    """From plain labels (a Service's selector). None or empty: everything."""
    return LabelSelector(tuple(Requirement(key, EQUALS, (value,)) for key, value in sorted((labels or {}).items())))


class Term(msgspec.Struct, frozen=True):
    """One condition on one field: equal, or not `equal`."""

    field: str
    value: str
    equal: bool = True


class FieldSelector(msgspec.Struct, frozen=True):
    """All terms must hold. A field that is missing counts as ""."""

    terms: tuple[Term, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all((fields.get(term.field, "") == term.value) is term.equal for term in self.terms)

    def exact(self, field: str) -> str | None:
        """The one value that the field must have, if it is one."""
        return next((term.value for term in self.terms if term.field == field and term.equal), None)

    @property
    def text(self) -> str:
        escaped = ((term, re.sub(r"([\\,=])", r"\\\1", term.value)) for term in self.terms)
        return ",".join(f"{term.field}{'=' if term.equal else '!='}{value}" for term, value in escaped)


_FIELD_PARTS = re.compile(r"(?:[^\\,]|\\.|\\$)+", re.DOTALL)
_FIELD_SIGN = re.compile(r"!=|==|=")


def parse_fields(text: str) -> FieldSelector:
    """The selector of a query ("metadata.name=a,spec.nodeName!=b"). Raises Failure 400 with the original's text."""
    if len(text) > TEXT_LIMIT:
        raise bad_request(f"field selector is longer than {TEXT_LIMIT} characters")
    terms = []
    for part in sorted(_FIELD_PARTS.findall(text)):
        sign = _FIELD_SIGN.search(part)
        if sign is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        terms.append(Term(part[: sign.start()], _unescaped(part[sign.end() :]), sign[0] != "!="))
    return FieldSelector(tuple(terms))


def _unescaped(value: str) -> str:
    if "\\" not in value and "=" not in value:
        return value
    result: list[str] = []
    escaped = False
    for character in value:
        if escaped:
            if character not in "\\,=":
                raise bad_request(f"invalid field selector: invalid escape sequence: \\{character}")
            escaped = False
            result.append(character)
        elif character == "\\":
            escaped = True
        elif character == "=":
            raise bad_request(f"invalid field selector: unescaped character in value: {ord(character)}")
        else:
            result.append(character)
    if escaped:
        raise bad_request("invalid field selector: invalid escape sequence: \\")
    return "".join(result)
