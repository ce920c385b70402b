"""What a kind's schema does not hold: defaults, what a client may set and when, validation, selectable fields.

Each group has one file in `kinds/` with a table from Kind to Rules. All functions are pure and work on dicts in the
storage version; those that return None change the dict that they are given, which is the caller's own copy.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause


def keep(_: Object) -> None:
    """Change nothing."""


def keep_both(_: Object, __: Object) -> None:
    """Change nothing."""


def no_times(_: Object, __: Object | None, ___: str) -> None:
    """Change nothing."""


def accept(_: Object) -> Sequence[Cause]:
    return ()


def accept_both(_: Object, __: Object) -> Sequence[Cause]:
    return ()


def no_fields(_: Object) -> dict[str, str]:
    return {}


def no_warnings(_: Object) -> Sequence[str]:
    return ()


def take_status_only(new: Object, old: Object) -> None:
    """A write to `status`: everything else stays as it is, but for what may be changed there (metadata of managed
    fields is the caller's)."""
    status = new.get("status")
    version = new.get("metadata", {}).get("resourceVersion")
    managed = new.get("metadata", {}).get("managedFields")
    new.clear()
    new.update(old)
    new["metadata"] = dict(old.get("metadata", {}))
    if version is not None:
        new["metadata"]["resourceVersion"] = version
    if managed is not None:
        new["metadata"]["managedFields"] = managed
    new.pop("status", None)
    if status is not None:
        new["status"] = status


class Rules(msgspec.Struct, frozen=True):
    """The rules of one kind. The API calls, on create: default, prepare_create, (admission), validate,
    validate_create; on update: default, prepare_update (which puts back what may not be changed, such as `status`),
    (admission), validate, validate_update; on an update of `status`: default, prepare_status, validate,
    validate_status."""

    default: Callable[[Object], None] = keep
    prepare_create: Callable[[Object], None] = keep
    prepare_update: Callable[[Object, Object], None] = keep_both  # (new, old)
    prepare_status: Callable[[Object, Object], None] = take_status_only  # (new, old)
    times: Callable[[Object, Object | None, str], None] = no_times  # (new, old or None, now): times that the API says
    validate: Callable[[Object], Sequence[Cause]] = accept
    validate_create: Callable[[Object], Sequence[Cause]] = accept  # further rules, of new objects only
    validate_update: Callable[[Object, Object], Sequence[Cause]] = accept_both  # (new, old)
    validate_status: Callable[[Object, Object], Sequence[Cause]] = accept_both  # (new, old)
    validate_name: Callable[[str], str] | None = None  # why the name is wrong, or ""; None: a DNS subdomain
    fields: Callable[[Object], dict[str, str]] = no_fields  # field selectors besides metadata.name and .namespace
    warnings: Callable[[Object], Sequence[str]] = no_warnings  # said to the client on create and update
    warns_on_update: bool = True
    generation: bool = False  # metadata.generation counts changes outside metadata and status
    create_on_update: bool = False  # PUT of a name that is not there creates it
    needs_version: bool = False  # an update must name the resourceVersion that it changes
    grace: Callable[[Object, Any], int] | None = None  # (object, asked seconds or None) -> seconds; None: at once
    finalizers: tuple[str, ...] = ()  # put on when a deletion begins
    orphans: bool = False  # its children stay where a deletion names no propagation policy, as before there was one
    warning_of_orphans: str = ""  # said then
    hides: Callable[[Object], None] = keep  # takes write-only parts out of answers
