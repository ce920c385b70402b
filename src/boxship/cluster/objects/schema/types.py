"""The type of a field, as every patch, validation and pruning walks it; made from the built-in schemas or from a
CustomResourceDefinition's structural schema.

One graph of shared nodes: `fields` of two places with the same definition is the same dict, so recursion
(JSONSchemaProps) needs no copies. Terms and defaults: kubernetes.io, "Server-Side Apply" (merge strategy) and
"Strategic merge patch".
"""

import enum
from typing import Any

import msgspec


class Form(enum.Enum):
    """What a value is on the wire."""

    OBJECT = "object"  # named fields
    MAP = "map"  # any keys, values of one type
    LIST = "list"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    INT_OR_STRING = "int-or-string"
    QUANTITY = "quantity"
    TIME = "time"  # RFC 3339, seconds
    MICRO_TIME = "micro-time"  # RFC 3339, microseconds
    DURATION = "duration"
    BYTES = "bytes"  # base64
    ANY = "any"  # unknown content is kept


class Type(msgspec.Struct):
    """One place in a schema. Not changed once its graph is linked."""

    form: Form
    name: str = ""  # of the definition ("io.k8s.api.core.v1.PodSpec"), where it has one
    fields: dict[str, "Type"] = {}  # OBJECT
    items: "Type | None" = None  # LIST: of each item; MAP: of each value
    required: tuple[str, ...] = ()
    nullable: bool = False
    list_type: str = "atomic"  # LIST: atomic, set, map
    list_keys: tuple[str, ...] = ()  # list_type map
    atomic: bool = False  # OBJECT or MAP that is owned and replaced as a whole
    patch_strategy: tuple[str, ...] = ()  # merge, replace, retainKeys
    patch_key: str = ""
    choices: tuple[str, ...] = ()  # enum
    format: str = ""  # int32, int64, double, byte, date-time …
    keeps_unknown: bool = False  # fields that the schema does not name are kept
    embedded: bool = False  # a whole object with apiVersion, kind and metadata
    default: Any = msgspec.UNSET  # written where the field is absent
    omits: bool = False  # a zero value or an empty list or map is the same as none, and is dropped (Go's omitempty)
    always: bool = False  # what is absent is shown as a zero value (no omitempty, no pointer)
    go: str = ""  # what the original's messages call it, where that does not follow from the rest
    rules: Any = None  # further rules of a structural schema: bounds, patterns, CEL; owned by `custom`
