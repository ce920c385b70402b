"""Events, which two groups serve: core in the old form, events.k8s.io in the strict one. Both are kept in core's form,
so all rules here work on that.

Source: pkg/apis/core/validation/events.go, pkg/registry/core/event, pkg/apis/events/v1 (field labels).
"""

from collections.abc import Mapping, Sequence

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, immutable
from boxship.cluster.objects.rules import Rules

SHORT_LIMIT = 128  # bytes of reporting instance, action and reason
NOTE_LIMIT = 1024  # bytes of the message
UNSET = "needs to be unset"
# What the strict form fixes at creation: our field, and the name that messages give it.
FIXED = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)
CONTROLLER = "reportingController"  # what messages call reportingComponent
ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def _too_long(found: Found, event: Object, key: str, limit: int) -> None:
    if len((event.get(key) or "").encode()) > limit:
        found.invalid(key, "", f"can have at most {limit} characters")


def _validate(event: Object) -> Sequence[Cause]:
    found = Found()
    namespace = event.get("metadata", {}).get("namespace") or ""
    about = (event.get("involvedObject") or {}).get("namespace") or ""
    mismatch = "does not match event.namespace"
    if not event.get("eventTime"):
        if (about and about != namespace) or (not about and namespace not in ("", "default")):
            found.invalid("involvedObject.namespace", about, mismatch)
    else:
        if not about and namespace not in ("default", "kube-system"):
            found.invalid("involvedObject.namespace", about, mismatch)
        controller = event.get("reportingComponent") or ""
        if not controller:
            found.required(CONTROLLER)
        found.because(CONTROLLER, controller, names.qualified(controller))
        for key in ("reportingInstance", "action", "reason"):
            if not event.get(key):
                found.required(key)
            _too_long(found, event, key, SHORT_LIMIT)
        _too_long(found, event, "message", NOTE_LIMIT)
    if namespace:
        found.because("namespace", namespace, names.subdomain(namespace))
    return found.causes


def _validate_series(found: Found, event: Object) -> None:
    series = event.get("series")
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        found.invalid("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        found.required("series.lastObservedTime")


def _validate_strict_create(event: Object) -> Sequence[Cause]:
    """On creation by events.k8s.io; what is only wrong in new events must not hinder updates of old ones."""
    found = Found()
    _validate_series(found, event)
    if not event.get("eventTime"):
        found.required("eventTime")
    if event.get("type") not in ("Normal", "Warning"):
        found.invalid("type", "", f"has invalid value: {event.get('type') or ''}")
    for key in ("firstTimestamp", "lastTimestamp", "count"):
        if event.get(key):
            found.invalid(key, "", UNSET)
    source = event.get("source") or {}
    if source.get("component") or source.get("host"):
        found.invalid("source", "", UNSET)
    return found.causes


def _validate_strict_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    if new.get("series") != old.get("series"):
        _validate_series(found, new)
    for key in FIXED:
        immutable(found, new.get(key), old.get(key), CONTROLLER if key == "reportingComponent" else key)
    return found.causes


def _fields(event: Object) -> dict[str, str]:
    about, source = event.get("involvedObject") or {}, event.get("source") or {}
    controller = event.get("reportingComponent") or ""
    return {
        **{f"involvedObject.{key}": about.get(key) or "" for key in ABOUT},
        "reason": event.get("reason") or "",
        "reportingComponent": controller,
        "source": source.get("component") or controller,
        "type": event.get("type") or "",
    }


def _strict_fields(event: Object) -> dict[str, str]:
    found = _fields(event)
    return {
        **{f"regarding.{key}": found[f"involvedObject.{key}"] for key in ABOUT},
        "reason": found["reason"],
        CONTROLLER: found["reportingComponent"],
        "type": found["type"],
    }


CORE_EVENT = Rules(validate=_validate, validate_name=names.path_segment, fields=_fields, create_on_update=True)

RULES: Mapping[str, Rules] = {
    "Event": Rules(
        validate=_validate,
        validate_create=_validate_strict_create,
        validate_update=_validate_strict_update,
        fields=_strict_fields,
        create_on_update=True,
    )
}
