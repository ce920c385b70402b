"""The one table from kinds of error to HTTP status and the specification's codes, and the error body."""

import logging

import msgspec

from boxship import errors
from boxship.registry import refusals
from boxship.transport.exchange import Reply, Request

log = logging.getLogger("boxship.doors.oci")

# The most special kind counts.
STATUS: dict[type[errors.BoxshipError], tuple[int, str]] = {
    refusals.OutOfOrder: (416, ""),
    refusals.UploadBusy: (409, ""),
    refusals.InUse: (405, ""),
    refusals.ReadOnly: (405, ""),
    refusals.QuotaReached: (403, ""),
    errors.NotFound: (404, "NAME_UNKNOWN"),
    errors.Exists: (409, "DENIED"),
    errors.Conflict: (409, "DENIED"),
    errors.Invalid: (400, "UNSUPPORTED"),
    errors.Unsupported: (400, "UNSUPPORTED"),
    errors.Denied: (403, "DENIED"),
    errors.Unauthenticated: (401, "UNAUTHORIZED"),
    errors.Unavailable: (503, "UNAVAILABLE"),
    errors.Exhausted: (507, "TOOMANYREQUESTS"),
    errors.Timeout: (408, "UNAVAILABLE"),
    errors.Canceled: (499, "UNKNOWN"),
    errors.Internal: (500, "UNKNOWN"),
}
JSON = {"Content-Type": "application/json"}

_encode = msgspec.json.Encoder().encode


def refusal(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    """An error as the specification writes it."""
    body = {"errors": [{"code": code, "message": message, "detail": None}]}
    return Reply(status, {**JSON, **(headers or {})}, _encode(body) + b"\n")


def error_reply(error: Exception, request: Request) -> Reply:
    """The reply to a request that failed. What nobody foresaw is logged with its traceback."""
    if not isinstance(error, errors.BoxshipError):
        log.error("%s %s failed unexpectedly", request.method, request.shown, exc_info=error)
        return refusal(500, "UNKNOWN", "internal error")
    status, code = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), (500, "UNKNOWN"))
    code = getattr(error, "code", "") or code
    headers = {}
    if isinstance(error, refusals.OutOfOrder):
        headers["Range"] = upload_range(error.size)
    if status >= 500:
        log.error("%s %s: %s", request.method, request.shown, error)
    return refusal(status, code, str(error), headers)


def upload_range(size: int) -> str:
    """How far an upload has come, as the specification writes it; nothing at all is 0-0 too."""
    return f"0-{max(size - 1, 0)}"
