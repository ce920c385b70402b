"""Server-side apply."""

from datetime import datetime
from typing import Any

import msgspec

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.apply import comparing, entries, extent, fields, merging, owning
from boxship.cluster.objects.apply.entries import APPLY, Entry, Managed
from boxship.cluster.objects.apply.fields import Fields
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Cause, Failure, bad_request
from boxship.cluster.objects.schema.types import Type

BEFORE_FIRST = "before-first-apply"
KUBECTL = "kubectl"  # whose client-side applies go over into its server-side ones
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def apply(
    live: Object | None,
    applied: Object,
    type_: Type | None,
    *,
    manager: str,
    api_version: str,
    subresource: str = "",
    force: bool = False,
    now: datetime | str,
    ignored: Fields = owning.NOTHING,
) -> Object:
    """The live object with the configuration merged in and its managedFields kept. What the manager applied before and
    no longer does is taken away, unless others own it too. Raises Failure: 409 with causes where another manager owns
    a field that would change (never with `force`), 400 for what cannot be applied.

    An apply that changes nothing gives back an object equal to the live one."""
    _check(live, applied, type_, api_version)
    before = (live or {}).get("metadata", {}).get("managedFields") or []
    managed = entries.refitted(entries.read(before, trusted=True), type_)
    live_value = _without_managed(live) if live else {}
    moment = entries.stamp(now)
    if not managed and live:
        first = Entry(BEFORE_FIRST, entries.UPDATE, api_version, subresource, moment)
        managed = owning.owned_by({}, first, owning.compared({}, live_value, type_).excluding(ignored))
    entry = Entry(manager, APPLY, api_version, subresource, moment)
    last = managed.get(entry.name)
    claimed = extent.applied_fields(applied, type_)
    claimed = fields.without(claimed, ignored) if ignored else claimed
    owned = fields.ordered(fields.difference(claimed, owning.STRIPPED))
    managed[entry.name] = entries.with_fields(entry, owned)
    result: Object = merging.merged(live_value, applied, type_)
    if last is not None and not fields.contains(owned, last.fields):
        result = _pruned(result, managed, last.fields, claimed, type_)
    changes = owning.compared(live_value, result, type_).excluding(ignored)
    taken = fields.union(changes.added, changes.modified)
    if not force and (found := entries.conflicts(managed, taken, but=entry.name)):
        _refuse(_unsettled(found, live_value, type_, manager, api_version))
    managed = entries.claim(managed, taken, changes.removed, but=entry.name)
    if last is not None and last.fields == owned and last.api_version == api_version and result == live_value:
        managed[entry.name] = entries.with_fields(last, owned)  # nothing happened: its time stays
    if not owned:
        managed.pop(entry.name, None)
    _sync_last_applied(result, applied, manager)
    if managed:
        result.setdefault("metadata", {})["managedFields"] = entries.written(managed)
    return result


def _check(live: Object | None, applied: Object, type_: Type | None, api_version: str) -> None:
    kind, version = applied.get("kind", ""), applied.get("apiVersion", "")
    if version != api_version:
        raise bad_request(
            f"Incorrect version specified in apply patch. Specified patch version: {version}, expected: {api_version}"
        )
    if live and kind != live.get("kind", kind):
        raise bad_request(f"invalid object type: {_shown_version(version)}, Kind={kind}")
    metadata = applied.get("metadata") or {}
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    check_applied(applied, type_)


def check_applied(applied: Object, type_: Type | None) -> None:
    """Refuse a configuration with unknown fields, wrong types or doubled items, as it was sent: what reads objects
    for other writes would drop the first and let the last pass."""
    found = list(extent.problems(applied, type_))
    if found:
        metadata = applied.get("metadata")
        named = metadata if isinstance(metadata, dict) else {}
        listed = found[0] if len(found) == 1 else "\n".join(["errors:", *(f"  {text}" for text in found)])
        place = f"{named.get('namespace', '')}/{named.get('name', '')}"
        shown = f"{_shown_version(str(applied.get('apiVersion', '')))}, Kind={applied.get('kind', '')}"
        raise bad_request(f"failed to create typed patch object ({place}; {shown}): {listed}")


def _shown_version(version: str) -> str:
    return version if "/" in version else f"/{version}"


def _without_managed(object: Object) -> Object:
    metadata = {key: value for key, value in object.get("metadata", {}).items() if key != "managedFields"}
    return {**object, "metadata": metadata}


def _pruned(merged: Object, managed: Managed, last: Fields, claimed: Fields, type_: Type | None) -> Object:
    """Without what was applied last time and is not now, but with everything that anybody (also this manager) owns, and
    with what the manager never owned."""

    def named(owned: Fields) -> Fields:
        return extent.with_named(owned, type_)

    everything = named(extent.applied_fields(merged, type_))
    pruned = merging.removed(merged, named(last), type_)
    still = claimed
    for entry in managed.values():
        still = fields.union(still, entry.fields)
    kept = fields.union(named(extent.applied_fields(pruned, type_)), named(still))
    pruned = merging.removed(merged, fields.difference(everything, kept), type_, still)
    gone = fields.difference(everything, named(extent.applied_fields(pruned, type_)))
    result: Object = merging.removed(merged, fields.intersection(gone, named(last)), type_, still)
    return result


def _unsettled(
    found: list[tuple[Entry, Fields]], live: Object, type_: Type | None, manager: str, api_version: str
) -> list[tuple[Entry, Fields]]:
    """Conflicts without those about fields that the same kubectl has applied from its own side before."""
    allowed = _applied_before(live, type_, api_version) if manager == KUBECTL else None
    if not allowed:
        return found
    left = ((entry, fields.difference(owned, allowed)) for entry, owned in found)
    return [(entry, owned) for entry, owned in left if owned]


def _applied_before(live: Object, type_: Type | None, api_version: str) -> Fields | None:
    """Fields of the last client-side apply that still are as they were applied."""
    text = (live.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    try:
        last: Any = msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        return None
    if not isinstance(last, dict) or last.get("apiVersion") != api_version or any(extent.problems(last, type_)):
        return None
    changes = comparing.compared(last, live, type_) or comparing.Changes()
    owned = extent.applied_fields(last, type_)
    for part in (changes.modified, changes.added, changes.removed):
        owned = fields.difference(owned, part)
    return owned


def _refuse(found: list[tuple[Entry, Fields]]) -> None:
    """409, if anything is left in conflict."""
    causes: list[Cause] = []
    lines: list[str] = []
    for entry, owned in found:
        listed = list(fields.paths(owned))
        causes += [Cause("FieldManagerConflict", path, f"conflict with {entry.text}") for path in listed]
        lines += [f"conflicts with {entry.text}:", *(f"- {path}" for path in listed)]
    if not causes:
        return
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
    else:
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    raise Failure(409, "Conflict", message, causes=causes)


def _sync_last_applied(result: Object, applied: Object, manager: str) -> None:
    """Keep the annotation of client-side apply in step, where kubectl applies an object that has one."""
    annotations = result.get("metadata", {}).get("annotations")
    if manager != KUBECTL or not annotations or not annotations.get(LAST_APPLIED):
        return
    value = copied(applied)
    mine = value.get("metadata", {}).get("annotations")
    if isinstance(mine, dict):
        mine.pop(LAST_APPLIED, None)
    annotations[LAST_APPLIED] = msgspec.json.encode(value).decode() + "\n"
    if names.annotations_size(annotations) > names.ANNOTATIONS_SIZE:
        del annotations[LAST_APPLIED]
