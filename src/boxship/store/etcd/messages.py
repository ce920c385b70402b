"""The messages of etcd's API v3 that the store needs, as bytes: etcd.io, "API reference" (rpc.proto, kv.proto).

Fields that nobody here reads are skipped. Pure; what is malformed raises ValueError.
"""

from collections.abc import Iterable

import msgspec

from boxship.store import Delete, Entry, Operation, Put

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
EVERY_KEY = b"\0"  # as `key` and as `range_end`: all keys
MASK = (1 << 64) - 1


class KeyValue(msgspec.Struct, frozen=True):
    """One key. `version` counts its writes since it was created: 0 for a deletion."""

    key: bytes
    created: int
    modified: int
    version: int
    value: bytes


class Header(msgspec.Struct, frozen=True):
    cluster: int
    revision: int
    member: int = 0


class Range(msgspec.Struct, frozen=True):
    """The answer to a range. `count` is that of the whole range, whatever the limit."""

    header: Header
    entries: tuple[KeyValue, ...]
    more: bool
    count: int


class Transaction(msgspec.Struct, frozen=True):
    """`found` is what the questions of the failure branch saw."""

    header: Header
    succeeded: bool
    found: tuple[KeyValue, ...]


class Event(msgspec.Struct, frozen=True):
    deleted: bool
    now: KeyValue
    before: KeyValue | None


class Watched(msgspec.Struct, frozen=True):
    """One answer of a watch. `compacted` is not 0 where the asked start is gone; `fragment`: the rest follows."""

    header: Header
    created: bool
    canceled: bool
    compacted: int
    reason: str
    fragment: bool
    events: tuple[Event, ...]


class Status(msgspec.Struct, frozen=True):
    """What one member says of itself; sizes in bytes."""

    header: Header
    version: str
    size: int
    used: int
    leader: int
    errors: tuple[str, ...]


# Writing.


def _number(value: int) -> bytes:
    value &= MASK
    if value < 128:
        return bytes((value,))
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def _field(number: int, value: bytes | int) -> bytes:
    """One field; what is empty or 0 is left out, as the format asks for."""
    if isinstance(value, int):
        return _number(number << 3 | VARINT) + _number(value) if value else b""
    return _part(number, value) if value else b""


def _part(number: int, message: bytes) -> bytes:
    """One field that is a message, also where it is empty."""
    return _number(number << 3 | BYTES) + _number(len(message)) + message


def range_request(
    key: bytes,
    end: bytes = b"",
    *,
    limit: int = 0,
    revision: int = 0,
    keys_only: bool = False,
    count_only: bool = False,
) -> bytes:
    where = _field(1, key) + _field(2, end)
    return where + _field(3, limit) + _field(4, revision) + _field(8, int(keys_only)) + _field(9, int(count_only))


def commit_request(operations: Iterable[Operation], extra: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Everything, and the puts of `extra`, if each `expected` holds; else the questions for what is there instead."""
    compares, changes, questions = [], [], []
    for operation in operations:
        key = operation.key.encode()
        if operation.expected is not None:
            compares.append(_part(1, _field(2, 2) + _field(3, key) + _modified(operation.expected)))
            questions.append(_part(3, _part(1, range_request(key, keys_only=True))))
        if isinstance(operation, Put):
            changes.append(_put(key, operation.value))
        elif isinstance(operation, Delete):
            changes.append(_part(2, _part(3, _field(1, key))))
    return b"".join((*compares, *changes, *(_put(key, value) for key, value in extra), *questions))


def exchange_request(key: bytes, expected: int, puts: Iterable[tuple[bytes, bytes]], gone: Iterable[bytes]) -> bytes:
    """Puts and deletions, if `key` was last modified at `expected`; b"": in any case."""
    compare = _part(1, _field(2, 2) + _field(3, key) + _modified(expected)) if key else b""
    deletions = (_part(2, _part(3, _field(1, name))) for name in gone)
    return b"".join((compare, *(_put(name, value) for name, value in puts), *deletions))


def _modified(revision: int) -> bytes:
    """The operand of a comparison: present also where it is 0."""
    return _number(6 << 3 | VARINT) + _number(revision)


def _put(key: bytes, value: bytes) -> bytes:
    return _part(2, _part(2, _field(1, key) + _field(2, value)))


def compaction_request(revision: int) -> bytes:
    return _field(1, revision)


def watch_request(start: int, *, previous: bool = False) -> bytes:
    """Every change of every key from the revision `start` on."""
    fields = _field(1, EVERY_KEY) + _field(2, EVERY_KEY) + _field(3, start) + _field(6, int(previous)) + _field(8, 1)
    return _part(1, fields)


# Reading.


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _fields(data: bytes) -> list[tuple[int, bytes | int]]:
    """The numbers and values of a message's fields. Most numbers have one byte, and this is where the time goes."""
    found: list[tuple[int, bytes | int]] = []
    at, end = 0, len(data)
    try:
        while at < end:
            tag = data[at]
            at += 1
            if tag > 127:
                tag, at = _read_number(data, at - 1)
            kind = tag & 7
            if kind not in (BYTES, VARINT):
                if kind not in (FIXED64, FIXED32):
                    raise ValueError(f"a field has the wire type {kind}")
                at += 8 if kind == FIXED64 else 4
                continue
            value = data[at]
            at += 1
            if value > 127:
                value, at = _read_number(data, at - 1)
            if kind == VARINT:
                found.append((tag >> 3, value))
                continue
            if at + value > end:
                raise ValueError("a field is cut off")
            found.append((tag >> 3, data[at : at + value]))
            at += value
    except IndexError as error:
        raise ValueError("a number is cut off") from error
    return found


def _dict(data: bytes) -> dict[int, bytes | int]:
    return dict(_fields(data))


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes were expected")
    return value


def _int(value: bytes | int) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes where a number was expected")
    return value


def _header(data: bytes | int) -> Header:
    fields = _dict(_bytes(data))
    return Header(_int(fields.get(1, 0)), _int(fields.get(3, 0)), _int(fields.get(2, 0)))


def _key_value(data: bytes | int) -> KeyValue:
    fields = _dict(_bytes(data))
    created, modified, version = (_int(fields.get(number, 0)) for number in (2, 3, 4))
    return KeyValue(_bytes(fields.get(1, b"")), created, modified, version, _bytes(fields.get(5, b"")))


def entry_of(found: KeyValue) -> Entry:
    """Raises UnicodeDecodeError for a key that is none of ours."""
    return Entry(found.key.decode(), found.value, found.created, found.modified)


def read_range(data: bytes) -> Range:
    header, entries, more, count = Header(0, 0), [], False, 0
    for number, value in _fields(data):
        if number == 1:
            header = _header(value)
        elif number == 2:
            entries.append(_key_value(value))
        elif number == 3:
            more = bool(value)
        elif number == 4:
            count = _int(value)
    return Range(header, tuple(entries), more, count)


def read_transaction(data: bytes) -> Transaction:
    header, succeeded = Header(0, 0), False
    found: list[KeyValue] = []
    for number, value in _fields(data):
        if number == 1:
            header = _header(value)
        elif number == 2:
            succeeded = bool(value)
        elif number == 3 and not succeeded:
            for kind, answer in _fields(_bytes(value)):
                found += read_range(_bytes(answer)).entries if kind == 1 else ()
    return Transaction(header, succeeded, tuple(found))


def _event(data: bytes | int) -> Event:
    fields = _dict(_bytes(data))
    before = _key_value(fields[3]) if 3 in fields else None
    return Event(fields.get(1, 0) == 1, _key_value(fields.get(2, b"")), before)


def read_watched(data: bytes) -> Watched:
    fields: dict[int, bytes | int] = {}
    events = []
    for number, value in _fields(data):
        if number == 11:
            events.append(_event(value))
        else:
            fields[number] = value
    flags = {name: bool(fields.get(number, 0)) for name, number in (("created", 3), ("canceled", 4), ("fragment", 7))}
    return Watched(
        header=_header(fields.get(1, b"")),
        compacted=_int(fields.get(5, 0)),
        reason=_bytes(fields.get(6, b"")).decode(errors="replace"),
        events=tuple(events),
        **flags,
    )


def read_status(data: bytes) -> Status:
    fields = _dict(data)
    errors = tuple(_bytes(value).decode(errors="replace") for number, value in _fields(data) if number == 8)
    size, used, leader = (_int(fields.get(number, 0)) for number in (3, 9, 4))
    version = _bytes(fields.get(2, b"")).decode(errors="replace")
    return Status(_header(fields.get(1, b"")), version, size, used, leader, errors)
