"""The types of CEL, and how the types of a schema become them."""

from typing import Any

import msgspec

from boxship.cluster.objects.schema.types import Form, Type


class Kind(msgspec.Struct, frozen=True, eq=False):
    """One CEL type. `name` is what errors call it; `parts` are a list's element, a map's key and value, an optional's
    value. `schema` is set for objects with declared fields, and for lists, whose list type matters for `==` and `+`."""

    name: str
    parts: tuple["Kind", ...] = ()
    schema: Any = None  # a Type, or for what no schema describes a dict of Kinds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kind) and self.name == other.name and self.parts == other.parts

    def __hash__(self) -> int:
        return hash((self.name, self.parts))

    def __str__(self) -> str:
        if self.name == "optional_type":
            return f"optional_type({self.parts[0]})"
        return f"{self.name}({', '.join(map(str, self.parts))})" if self.parts else self.name


DYN, ERROR, NULL = Kind("dyn"), Kind("!error!"), Kind("null")
BOOL, INT, UINT, DOUBLE = Kind("bool"), Kind("int"), Kind("uint"), Kind("double")
STRING, BYTES = Kind("string"), Kind("bytes")
TIMESTAMP, DURATION = Kind("google.protobuf.Timestamp"), Kind("google.protobuf.Duration")
TYPE = Kind("type")
PARAMETERS = {name: Kind(f"<{name}>") for name in "ABCK"}
SHORT = {
    "dyn": DYN,
    "null": NULL,
    "bool": BOOL,
    "int": INT,
    "uint": UINT,
    "double": DOUBLE,
    "string": STRING,
    "bytes": BYTES,
    "timestamp": TIMESTAMP,
    "duration": DURATION,
    "type": TYPE,
    "quantity": Kind("kubernetes.Quantity"),
    "url": Kind("kubernetes.URL"),
    "ip": Kind("net.IP"),
    "cidr": Kind("net.CIDR"),
    "semver": Kind("kubernetes.Semver"),
    "format": Kind("kubernetes.NamedFormat"),
    "authorizer": Kind("kubernetes.authorization.Authorizer"),
    "pathcheck": Kind("kubernetes.authorization.PathCheck"),
    "groupcheck": Kind("kubernetes.authorization.GroupCheck"),
    "resourcecheck": Kind("kubernetes.authorization.ResourceCheck"),
    "decision": Kind("kubernetes.authorization.Decision"),
    **PARAMETERS,
}
NAMED = {"null_type": NULL, **{name: SHORT[name] for name in "bool int uint double string bytes type dyn".split()}}


def list_of(item: Kind, schema: Type | None = None) -> Kind:
    return Kind("list", (item,), schema)


def map_of(key: Kind, value: Kind) -> Kind:
    return Kind("map", (key, value))


def optional_of(value: Kind) -> Kind:
    return Kind("optional_type", (value,))


def parsed(text: str) -> Kind:
    """A type as signatures of functions write it: "list(A)", "map(string,dyn)", "int"."""
    name, _, inner = text.partition("(")
    if not inner:
        return SHORT[name]
    depth, start, parts = 0, 0, []
    body = inner[:-1]
    for place, character in enumerate(body):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(body[start:place])
            start = place + 1
    parts.append(body[start:])
    return Kind("optional_type" if name == "optional" else name, tuple(parsed(part) for part in parts))


_SCALARS = {
    Form.STRING: STRING,
    Form.INTEGER: INT,
    Form.NUMBER: DOUBLE,
    Form.BOOLEAN: BOOL,
    Form.INT_OR_STRING: DYN,
    Form.QUANTITY: DYN,
    Form.TIME: TIMESTAMP,
    Form.MICRO_TIME: TIMESTAMP,
    Form.DURATION: DURATION,
    Form.BYTES: BYTES,
    Form.ANY: DYN,
}
_STRING_FORMATS = {"date-time": TIMESTAMP, "date": TIMESTAMP, "duration": DURATION, "byte": BYTES}


def of_schema(type_: Type | None) -> Kind:
    """The CEL type of a place in a schema."""
    if type_ is None:
        return DYN
    form = type_.form
    if form is Form.OBJECT:
        if not type_.fields:
            return map_of(STRING, DYN) if type_.keeps_unknown else Kind("object", schema=type_)
        return Kind("object", schema=type_)
    if form is Form.MAP:
        return map_of(STRING, of_schema(type_.items))
    if form is Form.LIST:
        return list_of(of_schema(type_.items), type_)
    if form is Form.STRING:
        return _STRING_FORMATS.get(type_.format, STRING)
    return _SCALARS[form]


_KEYWORDS = (
    "true false null in as break const continue else for function if import let loop package namespace return var void "
    "while"
)
RESERVED = frozenset(_KEYWORDS.split())
_ESCAPES = {"__underscores__": "__", "__dot__": ".", "__dash__": "-", "__slash__": "/"}


def unescaped(name: str) -> str:
    """The property that an escaped field name stands for ("__dot__", "__namespace__")."""
    if not name.startswith("__") and "__" not in name:
        return name
    if name.startswith("__") and name.endswith("__") and name[2:-2] in RESERVED:
        return name[2:-2]
    result, place = [], 0
    while place < len(name):
        for escape, meaning in _ESCAPES.items():
            if name.startswith(escape, place):
                result.append(meaning)
                place += len(escape)
                break
        else:
            result.append(name[place])
            place += 1
    return "".join(result)


# Of an object within an object, and of a custom object as a whole, rules see these.
_METADATA = Kind(
    "object", schema=Type(Form.OBJECT, fields={"name": Type(Form.STRING), "generateName": Type(Form.STRING)})
)
_EMBEDDED = {"apiVersion": STRING, "kind": STRING, "metadata": _METADATA}


def field_of(type_: Type | dict[str, Kind], name: str) -> tuple[str, Kind] | None:
    """The property and the type of a declared field; None where there is none of that (escaped) name."""
    if isinstance(type_, dict):
        return (name, type_[name]) if name in type_ else None
    if type_.embedded and name in _EMBEDDED:
        return name, _EMBEDDED[name]
    for candidate in (unescaped(name), name) if "__" in name else (name,):
        if candidate in type_.fields:
            # A property that has to be escaped cannot be reached by its plain name.
            if candidate in RESERVED and candidate == name:
                return None
            return candidate, of_schema(type_.fields[candidate])
    return None


def unify(expected: Kind, actual: Kind, bound: dict[str, Kind]) -> bool:
    """Whether a value of the actual type may stand where the other is expected; binds the parameters A, B …"""
    if expected.name.startswith("<"):
        known = bound.get(expected.name)
        if known is None or known in (DYN, NULL):
            bound[expected.name] = actual if known is None or actual != DYN else known
            return True
        if actual == NULL:
            return known.name not in ("bool", "int", "uint", "double", "string", "bytes")
        return unify(known, actual, bound) or unify(actual, known, bound)
    if expected == DYN or actual == DYN or ERROR in (expected, actual):
        return True
    if actual == NULL:
        return expected == NULL or expected.name not in (
            "bool",
            "int",
            "uint",
            "double",
            "string",
            "bytes",
            "list",
            "map",
        )
    if "object" in (expected.name, actual.name) and {expected.name, actual.name} <= {"object", "map"}:
        return expected.name == actual.name or expected.parts[0] == STRING if expected.parts else True
    if expected.name != actual.name or len(expected.parts) != len(actual.parts):
        return False
    return all(unify(one, other, bound) for one, other in zip(expected.parts, actual.parts, strict=True))


def resolved(kind: Kind, bound: dict[str, Kind]) -> Kind:
    """With the parameters put in; those that nothing says are dyn."""
    if kind.name.startswith("<"):
        return bound.get(kind.name, DYN)
    if not kind.parts:
        return kind
    return Kind(kind.name, tuple(resolved(part, bound) for part in kind.parts), kind.schema)


def joined(one: Kind, other: Kind) -> Kind:
    """The type of what may be either."""
    if one == other:
        return DYN if one.name == "object" and one.schema is not other.schema else one
    bound: dict[str, Kind] = {}
    if DYN in (one, other):
        return DYN
    if unify(one, other, bound):
        return one if other == NULL or one.parts == other.parts else other
    if unify(other, one, bound):
        return other
    return DYN
