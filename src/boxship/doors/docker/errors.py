"""The one table from kinds of error to HTTP status, and the error body that Docker's clients read.

Unsupported is 400: the field or parameter it names is wrong for this daemon and a retry will not help. Whole endpoints
that Boxship does not have answer 501 (`missing`).
"""

import logging

import msgspec

from boxship import errors
from boxship.transport.exchange import Reply, Request

log = logging.getLogger("boxship.doors.docker")

STATUS: dict[type[errors.BoxshipError], int] = {
    errors.NotFound: 404,
    errors.Exists: 409,
    errors.Conflict: 409,
    errors.Invalid: 400,
    errors.Unsupported: 400,
    errors.Unchanged: 304,
    errors.Denied: 403,
    errors.Unauthenticated: 401,
    errors.Unavailable: 503,
    errors.Exhausted: 500,
    errors.Timeout: 500,
    errors.Canceled: 499,
    errors.Internal: 500,
}

JSON = {"Content-Type": "application/json"}
_encode = msgspec.json.Encoder().encode


def message_reply(status: int, message: str) -> Reply:
    """An error as Docker writes it."""
    return Reply(status, JSON, _encode({"message": message}) + b"\n")


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; 500 for what is no BoxshipError."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def error_reply(error: Exception, request: Request) -> Reply:
    """The reply to a request that failed. What nobody foresaw is logged with its traceback."""
    status = status_of(error)
    if status == 304:
        return Reply(304)
    if not isinstance(error, errors.BoxshipError):
        log.error("%s %s failed unexpectedly", request.method, request.shown, exc_info=error)
        return message_reply(
            500, f"internal error: {error}" if str(error) else f"internal error: {type(error).__name__}"
        )
    return message_reply(status, str(error))


def missing(text: str) -> Reply:
    """The reply of an endpoint that Boxship does not have."""
    return message_reply(501, text)
