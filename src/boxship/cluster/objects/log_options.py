"""PodLogOptions: which part of a container's log a client wants, read from a query and checked.

The API server refuses what is wrong; the node reads the same parameters again. Pure. Texts: k8s.io/kubernetes,
validation of PodLogOptions.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from boxship.cluster.objects.failure import Cause, bad_request, invalid

SECOND = 1_000_000_000
STREAMS = {"All": (1, 2), "Stdout": (1,), "Stderr": (2,)}


class LogOptions(msgspec.Struct, frozen=True):
    """PodLogOptions. `since` is nanoseconds since the epoch, 0 for the beginning."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: int = 0
    tail: int | None = None
    limit: int | None = None  # bytes
    stream: str = "All"


Query = Mapping[str, Sequence[str]]


def read_log_options(query: Query, now: int) -> LogOptions:
    """Raises Failure 422 with the original's texts, 400 for what is no number."""
    causes: list[Cause] = []
    numbers = {name: _number(query, name) for name in ("tailLines", "limitBytes", "sinceSeconds")}
    tail, limit, seconds = numbers["tailLines"], numbers["limitBytes"], numbers["sinceSeconds"]
    if tail is not None and tail < 0:
        causes.append(_wrong("tailLines", f"Invalid value: {tail}: must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        causes.append(_wrong("limitBytes", f"Invalid value: {limit}: must be greater than 0"))
    since = 0
    moment = _text(query, "sinceTime")
    if seconds is not None and moment:
        why = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(Cause("FieldValueForbidden", "", why))
    elif seconds is not None:
        if seconds < 1:
            causes.append(_wrong("sinceSeconds", f"Invalid value: {seconds}: must be greater than 0"))
        since = now - seconds * SECOND
    elif moment:
        since = _moment(moment)
    stream = _text(query, "stream") or "All"
    if stream not in STREAMS:
        listed = ", ".join(f'"{name}"' for name in STREAMS)
        why = f'Unsupported value: "{stream}": supported values: {listed}'
        causes.append(Cause("FieldValueNotSupported", "stream", why))
    elif stream != "All" and tail is not None:
        why = "Forbidden: `tailLines` and specific `stream` are mutually exclusive for now"
        causes.append(Cause("FieldValueForbidden", "", why))
    if causes:
        raise invalid("", "PodLogOptions", "", causes)
    return LogOptions(
        follow=_flag(query, "follow"),
        previous=_flag(query, "previous"),
        timestamps=_flag(query, "timestamps"),
        since=since,
        tail=tail,
        limit=limit,
        stream=stream,
    )


def _text(query: Query, name: str) -> str:
    return (query.get(name) or [""])[0]


def _flag(query: Query, name: str) -> bool:
    values = query.get(name) or ("",)
    return values[0].lower() not in ("", "false", "0")


def _number(query: Query, name: str) -> int | None:
    text = _text(query, name)
    if not text:
        return None
    sign = text[1:] if text[0] in "+-" else text
    if not (sign.isascii() and sign.isdigit() and len(sign) < 19):
        raise bad_request(f'strconv.ParseInt: parsing "{text[:100]}": invalid syntax')
    return int(text)


def _moment(text: str) -> int:
    """Nanoseconds since the epoch."""
    try:
        found = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        found = None
    if found is None or found.tzinfo is None:
        raise bad_request(f'parsing time "{text[:100]}" as "2006-01-02T15:04:05Z07:00": cannot parse')
    return int(found.timestamp()) * SECOND + found.microsecond * 1000


def _wrong(field: str, why: str) -> Cause:
    return Cause("FieldValueInvalid", field, why)
