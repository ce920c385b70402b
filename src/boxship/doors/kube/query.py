"""Query parameters as Options, checked as the original checks them, with its texts. Those that a verb does not know are
ignored, as everywhere in this API.

Sources: apimachinery's query conversion and validation of ListOptions, CreateOptions, UpdateOptions, PatchOptions and
DeleteOptions. Selectors and continue tokens go on as texts.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxship.cluster.api.request import Options
from boxship.cluster.objects.failure import Cause, bad_request, invalid
from boxship.cluster.objects.media_types import APPLY_CBOR, APPLY_PATCH
from boxship.errors import Invalid
from boxship.spec.duration import SECOND, parse_duration

MANAGER_BYTES = 128
VALIDATIONS = ("Ignore", "Strict", "Warn")
PROPAGATIONS = ("Foreground", "Background", "Orphan")
INTEGER_LIMIT = 2**63

Query = Mapping[str, list[str]]


def read_options(verb: str, query: Query, media_type: str = "") -> Options:
    """The options of a request; `media_type` is a patch's. Raises Failure 400 or 422."""
    reader = READERS.get(verb)
    return reader(query, media_type) if reader is not None else Options(parameters=_all(query))


def is_true(query: Query, name: str) -> bool:
    """A parameter without value, or with any but false and 0, says yes."""
    values = query.get(name) or ["false"]
    return values[0].lower() not in ("false", "0")


def _all(query: Query) -> dict[str, tuple[str, ...]]:
    return {name: tuple(values) for name, values in query.items()}


def _text(query: Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""


def _number(query: Query, name: str) -> int | None:
    text = _text(query, name)
    if not text:
        return None
    if not re.fullmatch(r"[-+]?[0-9]{1,30}", text, re.ASCII):
        raise bad_request(f'strconv.ParseInt: parsing "{text[:100]}": invalid syntax')
    number = int(text)
    if not -INTEGER_LIMIT <= number < INTEGER_LIMIT:
        raise bad_request(f'strconv.ParseInt: parsing "{text[:100]}": value out of range')
    return number


def deadline(query: Query, longest: float) -> float:
    """Seconds that a request may take, of `timeout` ("30s")."""
    text = _text(query, "timeout")
    if not text:
        return longest
    try:
        seconds = parse_duration(text) / SECOND
    except (Invalid, OverflowError):
        raise bad_request(f"invalid timeout specified in the request URL: {text[:100]}") from None
    return min(seconds, longest) if seconds > 0 else longest


def _selection(query: Query) -> Options:
    timeout = _number(query, "timeoutSeconds")
    return Options(
        label_selector=_text(query, "labelSelector"),
        field_selector=_text(query, "fieldSelector"),
        limit=max(_number(query, "limit") or 0, 0),
        token=_text(query, "continue"),
        version=_text(query, "resourceVersion"),
        match=_text(query, "resourceVersionMatch"),
        bookmarks=is_true(query, "allowWatchBookmarks"),
        initial_events=is_true(query, "sendInitialEvents"),
        timeout=float(timeout) if timeout else None,
        parameters=_all(query),
    )


def _list(query: Query, _: str) -> Options:
    """Which of them go together is for the API to say (api/versions.py)."""
    return _selection(query)


def _get(query: Query, _: str) -> Options:
    return Options(version=_text(query, "resourceVersion"), parameters=_all(query))


def _write(kind: str) -> Callable[[Query, str], Options]:
    def read(query: Query, media_type: str) -> Options:
        options = Options(
            dry_run=bool(query.get("dryRun")),
            field_validation=_text(query, "fieldValidation") or "Warn",
            field_manager=_text(query, "fieldManager"),
            force=is_true(query, "force"),
            parameters=_all(query),
        )
        _refuse(kind, _write_causes(kind, query, options, media_type))
        return options

    return read


def _write_causes(kind: str, query: Query, options: Options, media_type: str) -> list[Cause]:
    causes = []
    if kind == "PatchOptions":
        if media_type in (APPLY_PATCH, APPLY_CBOR):
            if not options.field_manager:
                causes.append(
                    Cause("FieldValueRequired", "fieldManager", "Required value: is required for apply patch")
                )
        elif options.force:
            causes.append(_forbidden("force", "may not be specified for non-apply patch"))
    causes += _manager_causes(options.field_manager)
    causes += dry_run_causes(query.get("dryRun", ()))
    if options.field_validation not in VALIDATIONS:
        causes.append(_unsupported("fieldValidation", f'"{options.field_validation}"', ("", *VALIDATIONS)))
    return causes


def _manager_causes(manager: str) -> list[Cause]:
    if len(manager.encode()) > MANAGER_BYTES:
        why = f"Too long: may not be more than {MANAGER_BYTES} bytes"
        return [Cause("FieldValueTooLong", "fieldManager", why)]
    if not manager.isprintable():
        why = f'Invalid value: "{manager}": should only contain printable characters'
        return [Cause("FieldValueInvalid", "fieldManager", why)]
    return []


def dry_run_causes(values: Sequence[str]) -> list[Cause]:
    """Why a dryRun list is wrong."""
    if all(value == "All" for value in values):
        return []
    shown = ",".join(f'"{value}"' for value in values)
    return [_unsupported("dryRun", f"[{shown}]", ("All",))]


def _delete(query: Query, _: str) -> Options:
    fields: dict[str, Any] = {"gracePeriodSeconds": _number(query, "gracePeriodSeconds")}
    if query.get("propagationPolicy"):
        fields["propagationPolicy"] = _text(query, "propagationPolicy")
    if query.get("orphanDependents"):
        fields["orphanDependents"] = is_true(query, "orphanDependents")
    if query.get("dryRun"):
        fields["dryRun"] = list(query["dryRun"])
    fields["ignoreStoreReadErrorWithClusterBreakingPotential"] = is_true(
        query, "ignoreStoreReadErrorWithClusterBreakingPotential"
    )
    return delete_options(fields, _list(query, ""))


def delete_options(fields: Mapping[str, Any], found: Options) -> Options:
    """Of the fields of a DeleteOptions object, whose types are right. `found` has what the query says, the selectors of
    a deletecollection above all. Raises Failure 422."""
    policy, orphan = fields.get("propagationPolicy") or "", fields.get("orphanDependents")
    causes = []
    if orphan is not None and policy:
        why = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        causes.append(Cause("FieldValueInvalid", "propagationPolicy", why))
    if policy and policy not in PROPAGATIONS:
        causes.append(_unsupported("propagationPolicy", f'"{policy}"', (*PROPAGATIONS, "nil")))
    dry_run = fields.get("dryRun") or ()
    causes += dry_run_causes(dry_run)
    _refuse("DeleteOptions", causes)
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    preconditions = fields.get("preconditions") or {}
    return Options(
        dry_run=bool(dry_run),
        grace=fields.get("gracePeriodSeconds"),
        propagation=policy,
        precondition_uid=preconditions.get("uid") or "",
        precondition_version=preconditions.get("resourceVersion") or "",
        ignore_store_read_error=bool(fields.get("ignoreStoreReadErrorWithClusterBreakingPotential")),
        label_selector=found.label_selector,
        field_selector=found.field_selector,
        limit=found.limit,
        token=found.token,
        version=found.version,
        match=found.match,
        parameters=found.parameters,
    )


def _refuse(kind: str, causes: Sequence[Cause]) -> None:
    if causes:
        raise invalid("meta.k8s.io", kind, "", causes)


def _forbidden(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", field, f"Forbidden: {why}")


def _unsupported(field: str, value: str, offered: Sequence[str]) -> Cause:
    listed = ", ".join(f'"{choice}"' for choice in offered)
    return Cause("FieldValueNotSupported", field, f"Unsupported value: {value}: supported values: {listed}")


READERS: dict[str, Callable[[Query, str], Options]] = {
    "get": _get,
    "list": _list,
    "watch": _list,
    "create": _write("CreateOptions"),
    "update": _write("UpdateOptions"),
    "patch": _write("PatchOptions"),
    "delete": _delete,
    "deletecollection": _delete,
}
