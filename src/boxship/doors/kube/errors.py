"""From a kind of error to a Status object. One table; nothing here decides by an error's text."""

import logging

from boxship import errors
from boxship.cluster.objects import failure
from boxship.cluster.objects.failure import Failure
from boxship.transport.exchange import BodyTooLarge, Request

log = logging.getLogger("boxship.kube")

BODY_BYTES = 3 * 1024 * 1024

TABLE: tuple[tuple[type[errors.BoxshipError], int, str], ...] = (
    (errors.NotFound, 404, "NotFound"),
    (errors.Exists, 409, "AlreadyExists"),
    (errors.Invalid, 400, "BadRequest"),
    (errors.Conflict, 409, "Conflict"),
    (errors.Unchanged, 409, "Conflict"),
    (errors.Denied, 403, "Forbidden"),
    (errors.Unauthenticated, 401, "Unauthorized"),
    (errors.Unavailable, 503, "ServiceUnavailable"),
    (errors.Unsupported, 501, "NotImplemented"),
    (errors.Exhausted, 507, "InsufficientStorage"),
    (errors.Timeout, 504, "Timeout"),
    (errors.Canceled, 499, "ClientClosedRequest"),
    (errors.Internal, 500, "InternalError"),
)


def failure_of(error: Exception, request: Request) -> Failure:
    """The refusal that a client reads. What is a mistake of ours is logged with its place, and told without."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, BodyTooLarge):
        return failure.too_large(BODY_BYTES)
    for kind, code, reason in TABLE:
        if isinstance(error, kind):
            if code >= 500 and code != 501:
                log.error("%s %s: %s", request.method, request.shown, error)
            return Failure(code, reason, str(error), retry_after=1 if code == 503 else 0)
    log.error("%s %s failed", request.method, request.shown, exc_info=error)
    return failure.internal("an unexpected error; the log of boxship-control has it")


def wrong_method() -> Failure:
    return Failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
