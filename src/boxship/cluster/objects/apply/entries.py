"""`metadata.managedFields`: one entry for each manager, operation, subresource and, for updates, API version."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from boxship.cluster.objects.apply import extent, fields
from boxship.cluster.objects.apply.fields import Fields
from boxship.cluster.objects.schema.types import Type
from boxship.errors import Invalid

APPLY, UPDATE = "Apply", "Update"
FIELDS_TYPE = "FieldsV1"
UPDATES_LIMIT = 10  # entries of updates that are kept apart
ANCIENT = "ancient-changes"  # the manager of those that are not

Name = tuple[str, str, str, str]  # manager, operation, API version (of updates), subresource


class Entry(msgspec.Struct, frozen=True):
    """Who owns a set of fields."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""
    time: str = ""
    fields: Fields = {}

    @property
    def name(self) -> Name:
        version = "" if self.operation == APPLY else self.api_version
        return (self.manager, self.operation, version, self.subresource)

    @property
    def text(self) -> str:
        """As a conflict names it."""
        shown = msgspec.json.encode(self.manager).decode()
        if self.subresource:
            shown += f' with subresource "{self.subresource}"'
        return f"{shown} using {self.api_version}" if self.operation == UPDATE else shown


Managed = dict[Name, Entry]


def read(value: Any, *, trusted: bool = False) -> Managed:
    """The entries of a managedFields list. Ours are `trusted`; a client's are checked. Raises Invalid."""
    if not isinstance(value, list):
        raise Invalid("managedFields must be a list")
    managed: Managed = {}
    for index, item in enumerate(value):
        entry = _trusted(item) if trusted else _checked(item, index)
        managed[entry.name] = entry
    return managed


def _trusted(item: dict[str, Any]) -> Entry:
    return Entry(
        item.get("manager", ""),
        item["operation"],
        item.get("apiVersion", ""),
        item.get("subresource", ""),
        item.get("time") or "",
        item.get("fieldsV1") or {},
    )


def _checked(item: Any, index: int) -> Entry:
    if not isinstance(item, dict):
        raise Invalid("a managed fields entry must be an object")
    if item.get("operation") not in (APPLY, UPDATE):
        raise Invalid("operation must be `Apply` or `Update`")
    if not item.get("apiVersion"):
        raise Invalid("apiVersion must not be empty")
    kind = item.get("fieldsType", "")
    if not kind:
        raise Invalid(f"missing fieldsType in managed fields entry {index}")
    if kind != FIELDS_TYPE:
        raise Invalid(f'invalid fieldsType "{kind}" in managed fields entry {index}')
    texts = [item.get(key) or "" for key in ("manager", "apiVersion", "subresource", "time")]
    if not all(isinstance(text, str) for text in texts):
        raise Invalid(f"wrong types in managed fields entry {index}")
    manager, version, subresource, time = texts
    owned = fields.checked(item.get("fieldsV1") or {})
    return Entry(manager, item["operation"], version, subresource, time, owned)


def is_reset(value: Any) -> bool:
    """Whether a client asks to forget all managers: an empty list, or one empty entry."""
    return isinstance(value, list) and value in ([], [{}])


def written(managed: Managed) -> list[dict[str, Any]]:
    """The managedFields list: appliers first, then by time."""
    found = sorted(
        managed.values(),
        key=lambda entry: (entry.operation, entry.time, entry.manager, entry.api_version, entry.subresource),
    )
    return [_written(entry) for entry in found]


def _written(entry: Entry) -> dict[str, Any]:
    item: dict[str, Any] = {"manager": entry.manager, "operation": entry.operation, "apiVersion": entry.api_version}
    if entry.time:
        item["time"] = entry.time
    item["fieldsType"] = FIELDS_TYPE
    item["fieldsV1"] = entry.fields
    if entry.subresource:
        item["subresource"] = entry.subresource
    return item


def refitted(managed: Managed, type_: Type | None) -> Managed:
    """Entries after the schema of a custom kind may have changed."""
    if type_ is None or type_.name:
        return managed
    return {name: with_fields(entry, extent.fitted(entry.fields, type_)) for name, entry in managed.items()}


def with_fields(entry: Entry, owned: Fields) -> Entry:
    return Entry(entry.manager, entry.operation, entry.api_version, entry.subresource, entry.time, owned)


def capped(managed: Managed) -> Managed:
    """With at most so many entries of updates: the oldest become one for each API version."""
    updates = sorted(
        (entry for entry in managed.values() if entry.operation == UPDATE), key=lambda entry: (entry.time, entry.name)
    )
    surplus = len(updates) - UPDATES_LIMIT
    if surplus <= 0:
        return managed
    result = dict(managed)
    first: dict[str, Name] = {}
    for entry in updates:
        if surplus <= 0:
            break
        version = entry.api_version
        if version not in first:
            first[version] = entry.name
            continue
        bucket = Entry(ANCIENT, UPDATE, version, time=entry.time)
        old = result.get(bucket.name) or result.pop(first[version])
        result.pop(entry.name, None)
        owned = fields.ordered(fields.union(entry.fields, old.fields))
        result[bucket.name] = with_fields(bucket, owned)
        surplus -= 1
    return result


def claim(managed: Managed, taken: Fields, removed: Fields, *, but: Name | None = None) -> Managed:
    """Without fields that somebody else has `taken`, and those that are `removed`; entries that own nothing go."""
    if not taken and not removed:
        return {name: entry for name, entry in managed.items() if entry.fields or name == but}
    result: Managed = {}
    for name, entry in managed.items():
        owned = entry.fields
        if name != but:
            if taken:
                lost = fields.intersection(owned, taken)
                owned = fields.difference(owned, lost) if lost else owned
            owned = fields.difference(owned, removed) if removed else owned
        if owned:
            result[name] = entry if owned is entry.fields else with_fields(entry, owned)
    return result


def conflicts(managed: Managed, taken: Fields, *, but: Name) -> list[tuple[Entry, Fields]]:
    """Which other entries own something of what is taken, and what."""
    found: Iterable[tuple[Entry, Fields]] = (
        (managed[name], fields.intersection(managed[name].fields, taken)) for name in sorted(managed) if name != but
    )
    return [(entry, owned) for entry, owned in found if owned]


def stamp(now: datetime | str) -> str:
    """RFC 3339 with seconds."""
    return now if isinstance(now, str) else now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
