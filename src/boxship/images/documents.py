"""Reading the JSON documents of images: configs, manifests, indexes, and the times in them. Pure."""

import calendar
import datetime
import re
from typing import Any, TypeVar

import msgspec

from boxship.errors import Invalid
from boxship.spec import digest as digests
from boxship.spec.image import ImageConfig

DOCUMENT_LIMIT = 8 * 1024 * 1024  # bytes of one JSON document
LAYER_LIMIT = 2048  # layers of one image
ZERO_TIME = "0001-01-01T00:00:00Z"

T = TypeVar("T")
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)")


def parse(data: bytes, kind: type[T], what: str) -> T:
    """A document as a struct. `null` counts as absent, as in Go. Raises Invalid."""
    try:
        return msgspec.convert(_without_nulls(msgspec.json.decode(data)), kind, strict=False)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise Invalid(f"cannot read {what}: {error}") from error


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def parse_config(data: bytes) -> ImageConfig:
    """An image's config. Raises Invalid where a layer's digest is not one."""
    document = parse(data, dict[str, Any], "image config")
    config = parse(
        msgspec.json.encode({"architecture": "", "os": "linux", "rootfs": {}} | document), ImageConfig, "image config"
    )
    if len(config.rootfs.diff_ids) > LAYER_LIMIT:
        raise Invalid(f"cannot read image config: more than {LAYER_LIMIT} layers")
    for diff_id in config.rootfs.diff_ids:
        digests.validate(diff_id)
    return config


def nanoseconds(text: str) -> int:
    """An RFC 3339 time as nanoseconds since the epoch; what is not one counts as the year 1, as in Go."""
    match = _TIME.fullmatch(text or ZERO_TIME) or _TIME.fullmatch(ZERO_TIME)
    assert match is not None
    *fields, fraction, zone = match.groups()
    try:
        moment = datetime.datetime(*(int(field) for field in fields))  # type: ignore[arg-type]  # there are six
    except ValueError:
        return nanoseconds(ZERO_TIME)
    seconds = calendar.timegm(moment.timetuple())
    if zone not in "Zz":
        offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds -= offset if zone[0] == "+" else -offset
    return seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def timestamp(time: int) -> str:
    """Nanoseconds since the epoch as an RFC 3339 time in UTC, without trailing zeros, as Go writes it."""
    seconds, fraction = divmod(time, 1_000_000_000)
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    digits = f"{fraction:09d}".rstrip("0")
    return moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + (f".{digits}" if digits else "") + "Z"
