"""Who owns what after a write that is not an apply."""

from datetime import datetime
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.apply import comparing, entries, fields
from boxship.cluster.objects.apply.comparing import Changes
from boxship.cluster.objects.apply.entries import UPDATE, Entry, Managed
from boxship.cluster.objects.apply.fields import Fields
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.schema.types import Type
from boxship.errors import Invalid

# Nobody owns what names an object and what the API itself writes.
NEVER_OWNED = ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation")
STRIPPED: Fields = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {
        fields.SELF: {},
        **{f"f:{key}": {} for key in (*NEVER_OWNED, "managedFields", "resourceVersion")},
    },
}
_HIDDEN = frozenset({*NEVER_OWNED, "managedFields", "resourceVersion"})
NOTHING: Fields = {}
STATUS: Fields = {"f:status": {}}


def ignored_fields(resource: Resource, subresource: str, object: Object) -> Fields:
    """What a write there cannot change, so that whoever sends it along does not come to own it: `status` of a resource
    that has such a subresource, everything else in a write to `status`."""
    if "status" not in resource.subresources:
        return NOTHING
    if subresource == "status":
        return {f"f:{key}": {} for key in object if key != "status"}
    return NOTHING if subresource else STATUS


def update_managed(
    old: Object | None,
    new: Object,
    type_: Type | None,
    *,
    manager: str,
    api_version: str,
    subresource: str = "",
    operation: str = UPDATE,
    now: datetime | str,
    ignored: Fields = NOTHING,
) -> None:
    """Write `new["metadata"]["managedFields"]`: who changes a field owns it, and others no longer do. `old` is None for
    a create. An entry's time is that of the last write that changed something of it.

    A client may set managedFields itself, or have them forgotten with [] or [{}]; after that nothing is noted until
    somebody applies, as in the original."""
    metadata = new.setdefault("metadata", {})
    before = (old or {}).get("metadata", {}).get("managedFields")
    managed = _managed_of(before, metadata.get("managedFields"), subresource)
    managed = entries.refitted(managed, type_)
    if managed or old is None:
        changes = compared(old or {}, new, type_).excluding(ignored)
        entry = Entry(manager or "unknown", operation, api_version, subresource, entries.stamp(now))
        managed = entries.capped(owned_by(managed, entry, changes))
    if managed:
        metadata["managedFields"] = entries.written(managed)
    else:
        metadata.pop("managedFields", None)


def _managed_of(before: Any, after: Any, subresource: str) -> Managed:
    """Entries to start from: those that the request brings, where it may and they are sound; else what is stored."""
    if not subresource and after is not None and after != before:
        if entries.is_reset(after):
            return {}
        try:
            managed = entries.read(after)
        except Invalid:
            managed = {}
        if managed:
            return managed
    return entries.read(before, trusted=True) if before else {}


def visible(object: Object) -> Object:
    """The object without what nobody owns."""
    metadata = object.get("metadata", {})
    shown = {key: value for key, value in object.items() if key not in ("apiVersion", "kind")}
    shown["metadata"] = {key: value for key, value in metadata.items() if key not in _HIDDEN}
    return shown


def compared(old: Object, new: Object, type_: Type | None) -> Changes:
    """What differs between two objects, besides what nobody owns."""
    return comparing.compared(visible(old), visible(new), type_) or Changes()


def owned_by(managed: Managed, entry: Entry, changes: Changes) -> Managed:
    """Entries after a write with these changes by the entry's manager; its fields are added to those it has."""
    taken = fields.union(changes.added, changes.modified)
    managed = entries.claim(managed, taken, changes.removed)
    if not taken:
        return managed
    previous = managed.get(entry.name)
    owned = fields.union(taken, previous.fields) if previous is not None else taken
    managed[entry.name] = entries.with_fields(entry, fields.ordered(owned))
    return managed
