"""Protocol buffers by a table of field numbers, to dicts and back, without generated code.

A table names each message's fields: name → (number, type). A type is a scalar ("string", "bytes", "bool", "int32",
"int64", "uint32", "uint64", "double"), another message, "TYPE[]" or "map<string,TYPE>". A field whose name begins with
"." has no name on our side: its message's fields stand in the dict around it. `shapes` say how a message that is more
than its fields (a time, a quantity) looks as a value; None is none. Format: protobuf.dev, "Encoding".

The bytes are a stranger's: whatever they are, reading them ends soon, with a value or with Invalid, and never takes
more memory than the limits allow.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from boxship.errors import Invalid

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MASK64 = (1 << 64) - 1
MAX_VARINT_SIZE = 10  # bytes

Fields = Mapping[str, tuple[int, str]]
Shape = tuple[Callable[[dict[str, Any]], Any], Callable[[Any], dict[str, Any]]]  # (from the fields, to the fields)
Text = tuple[Callable[[bytes], Any], Callable[[Any], bytes]]  # (from the bytes, to the bytes)

INTEGERS = {"int32": 32, "int64": 64, "uint32": 0, "uint64": 0}  # bits of signed ones
PACKABLE = {*INTEGERS, "bool", "double"}
SCALARS = {*PACKABLE, "string", "bytes"}


class Limits(msgspec.Struct, frozen=True):
    """How much one message may become."""

    depth: int = 64  # messages inside messages
    values: int = 100_000  # fields, items and entries, all together


DEFAULT_LIMITS = Limits()


class Slot(msgspec.Struct):
    """One field of a plan."""

    name: str
    number: int
    kind: str  # a scalar's name, or "" for a message
    plan: "Plan | None" = None  # of a message, or of a map's entries
    repeated: bool = False
    mapped: bool = False
    inline: bool = False
    text: Text | None = None  # of bytes


class Plan(msgspec.Struct):
    """A message made ready: its slots by number and by name."""

    name: str
    by_number: dict[int, Slot]
    slots: list[Slot]
    shape: Shape | None = None


class Table:
    """Messages by name. Each is made ready when it is first met."""

    def __init__(
        self,
        messages: Mapping[str, Fields],
        shapes: Mapping[str, Shape] | None = None,
        texts: Mapping[str, Text] | None = None,
    ) -> None:
        """`texts` are further scalars that are bytes on the wire: how they look as values."""
        self._messages = messages
        self._shapes = shapes or {}
        self._texts = texts or {}
        self._plans: dict[str, Plan] = {}

    def __contains__(self, message: str) -> bool:
        return message in self._messages

    def plan(self, message: str) -> Plan:
        known = self._plans.get(message)
        if known is not None:
            return known
        if message not in self._messages:
            raise Invalid(f"cannot use the message {message}: no such message is known")
        plan = Plan(message, {}, [], self._shapes.get(message))
        self._plans[message] = plan  # before its fields: they may lead back here
        for name, (number, kind) in self._messages[message].items():
            slot = self._slot(name, number, kind)
            plan.by_number[number] = slot
            plan.slots.append(slot)
        plan.slots.sort(key=lambda slot: slot.number)
        return plan

    def _slot(self, name: str, number: int, kind: str) -> Slot:
        if name.startswith("."):
            return Slot(name[1:], number, "", self.plan(kind), inline=True)
        if kind.startswith("map<"):
            key, _, value = kind[4:-1].partition(",")
            entry = Plan(kind, {}, [self._slot("key", 1, key), self._slot("value", 2, value)])
            entry.by_number.update({slot.number: slot for slot in entry.slots})
            return Slot(name, number, "", entry, mapped=True)
        repeated = kind.endswith("[]")
        kind = kind.removesuffix("[]")
        if kind in self._texts:
            return Slot(name, number, "bytes", repeated=repeated, text=self._texts[kind])
        if kind in SCALARS:
            return Slot(name, number, kind, repeated=repeated)
        return Slot(name, number, "", self.plan(kind), repeated=repeated)


def decode(table: Table, message: str, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Any:
    """The value of a message: a dict of the fields that are there, or what its shape makes of them. Raises Invalid."""
    plan = table.plan(message)
    try:
        return _Reader(data, limits).message(plan, 0, len(data), limits.depth)
    except (_Wrong, ValueError) as why:  # a shape refuses with ValueError
        raise Invalid(f"cannot decode {message}: {why}") from None


def encode(table: Table, message: str, value: Any) -> bytes:
    """The bytes of a message; fields in the order of their numbers, map entries in the order of their keys. Raises
    Invalid for a field that the message does not have, or a value that is not of the field's type."""
    return _write(table.plan(message), value)


class _Wrong(Exception):
    """The bytes are not the message that they should be."""


class _Reader:
    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._left = limits.values

    def message(self, plan: Plan, position: int, end: int, depth: int) -> Any:
        if depth <= 0:
            raise _Wrong("it is nested too deeply")
        fields: dict[str, Any] = {}
        data = self._data
        while position < end:
            tag = data[position]
            position += 1
            if tag >= 0x80:
                tag, position = self._varint(position - 1, end)
            slot = plan.by_number.get(tag >> 3)
            if slot is None:
                position = self._skip(tag, position, end)
                continue
            self._left -= 1
            if self._left < 0:
                raise _Wrong("it has too many values")
            wire = tag & 7
            if wire == LENGTH:
                size = data[position] if position < end else 0
                position += 1
                if size >= 0x80 or position > end:
                    size, position = self._varint(position - 1, end)
                if size > end - position:
                    raise _Wrong("it ends in the middle of a field")
                self._sized(slot, fields, position, position + size, depth)
                position += size
            elif slot.kind in PACKABLE:
                value, position = self._number(slot.kind, wire, position, end)
                _put(slot, fields, value)
            else:
                raise _Wrong(f"the field {slot.name} has the wrong wire type {wire}")
        return plan.shape[0](fields) if plan.shape else fields

    def _sized(self, slot: Slot, fields: dict[str, Any], start: int, end: int, depth: int) -> None:
        if slot.plan is not None:
            value = self.message(slot.plan, start, end, depth if slot.inline else depth - 1)
            if slot.mapped:
                fields.setdefault(slot.name, {})[value.get("key", "")] = _entry(slot.plan, value)
            elif slot.inline:
                fields.update(value)
            elif slot.repeated or not isinstance(value, dict):
                _put(slot, fields, value)
            else:  # a message that comes in pieces
                before = fields.get(slot.name)
                fields[slot.name] = _joined(slot.plan, before, value) if before else value
        elif slot.kind == "string":
            try:
                _put(slot, fields, str(self._data[start:end], "utf-8"))
            except UnicodeDecodeError:
                raise _Wrong(f"the field {slot.name} is not UTF-8") from None
        elif slot.kind == "bytes":
            data = bytes(self._data[start:end])
            _put(slot, fields, slot.text[0](data) if slot.text else data)
        elif slot.repeated:
            while start < end:
                self._left -= 1
                if self._left < 0:
                    raise _Wrong("it has too many values")
                value, start = self._number(slot.kind, FIXED64 if slot.kind == "double" else VARINT, start, end)
                _put(slot, fields, value)
        else:
            raise _Wrong(f"the field {slot.name} has the wrong wire type {LENGTH}")

    def _number(self, kind: str, wire: int, position: int, end: int) -> tuple[Any, int]:
        if kind == "double":
            if wire != FIXED64 or position + 8 > end:
                raise _Wrong("a number is not whole")
            return struct.unpack_from("<d", self._data, position)[0], position + 8
        if wire != VARINT:
            raise _Wrong(f"a number has the wrong wire type {wire}")
        value, position = self._varint(position, end)
        if kind == "bool":
            return value != 0, position
        bits = INTEGERS[kind]
        if bits:
            value &= (1 << bits) - 1
            if value >> (bits - 1):
                value -= 1 << bits
        elif kind == "uint32":
            value &= 0xFFFFFFFF
        return value, position

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        data = self._data
        for shift in range(0, 7 * MAX_VARINT_SIZE, 7):
            if position >= end:
                raise _Wrong("it ends in the middle of a number")
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & MASK64, position
        raise _Wrong("a number is too long")

    def _skip(self, tag: int, position: int, end: int) -> int:
        """Behind a field that the table does not have."""
        wire = tag & 7
        if tag >> 3 == 0:
            raise _Wrong("a field has the number 0")
        if wire == VARINT:
            return self._varint(position, end)[1]
        if wire == LENGTH:
            size, position = self._varint(position, end)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise _Wrong(f"a field has the unknown wire type {wire}")
        if size > end - position:
            raise _Wrong("it ends in the middle of a field")
        return position + size


def _put(slot: Slot, fields: dict[str, Any], value: Any) -> None:
    if value is None:
        return  # a shape says that there is nothing
    if slot.repeated:
        fields.setdefault(slot.name, []).append(value)
    else:
        fields[slot.name] = value


def _joined(plan: Plan, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Two pieces of one message: lists follow each other, maps and messages are joined, the rest is the later one's."""
    result = {**before, **after}
    for slot in plan.slots:
        first, second = before.get(slot.name), after.get(slot.name)
        if not first or not second:
            continue
        if slot.repeated:
            result[slot.name] = [*first, *second]
        elif slot.mapped:
            result[slot.name] = {**first, **second}
        elif slot.plan is not None and isinstance(first, dict) and isinstance(second, dict):
            result[slot.name] = _joined(slot.plan, first, second)
    return result


EMPTY: Mapping[str, Any] = {"string": "", "bytes": b"", "bool": False, "double": 0.0}


def _entry(plan: Plan, fields: dict[str, Any]) -> Any:
    """The value of a map's entry; the format may leave out empty ones."""
    if "value" in fields:
        return fields["value"]
    slot = plan.slots[1]
    if slot.text:
        return slot.text[0](b"")
    if slot.plan is None:
        return EMPTY.get(slot.kind, 0)
    return slot.plan.shape[0]({}) if slot.plan.shape else {}


def _write(plan: Plan, value: Any) -> bytes:
    if plan.shape:
        value = plan.shape[1](value)
    if not isinstance(value, dict):
        raise Invalid(f"cannot encode {plan.name}: it is not an object")
    out = bytearray()
    _write_fields(plan, value, out, set(value))
    return bytes(out)


def _write_fields(plan: Plan, fields: dict[str, Any], out: bytearray, left: set[str]) -> None:
    _write_known(plan, fields, out, left)
    if left:
        raise Invalid(f"cannot encode {plan.name}: it has no field {min(left)}")


def _write_known(plan: Plan, fields: dict[str, Any], out: bytearray, left: set[str]) -> None:
    for slot in plan.slots:
        if slot.inline and slot.plan is not None:
            inner = bytearray()
            _write_known(slot.plan, fields, inner, left)
            _write_sized(out, slot.number, bytes(inner))
            continue
        left.discard(slot.name)
        value = fields.get(slot.name)
        if value is None:
            continue
        try:
            _write_field(slot, value, out)
        except (TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
            raise Invalid(f"cannot encode {plan.name}: {slot.name}: {error}") from error


def _write_field(slot: Slot, value: Any, out: bytearray) -> None:
    if slot.mapped and slot.plan is not None:
        for key in sorted(value):
            _write_sized(out, slot.number, _write(slot.plan, {"key": key, "value": value[key]}))
    elif slot.repeated:
        for item in value:
            _write_one(slot, item, out)
    else:
        _write_one(slot, value, out)


def _write_one(slot: Slot, value: Any, out: bytearray) -> None:
    if slot.plan is not None:
        _write_sized(out, slot.number, _write(slot.plan, value))
    elif slot.kind == "string":
        _write_sized(out, slot.number, value.encode())
    elif slot.kind == "bytes":
        _write_sized(out, slot.number, slot.text[1](value) if slot.text else bytes(value))
    elif slot.kind == "double":
        out += _varint(slot.number << 3 | FIXED64) + struct.pack("<d", value)
    else:
        out += _varint(slot.number << 3 | VARINT) + _varint(int(value) & MASK64)


def _write_sized(out: bytearray, number: int, data: bytes) -> None:
    out += _varint(number << 3 | LENGTH) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
