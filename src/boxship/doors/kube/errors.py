"""From an error to a Status object, by the table in objects/failure.py; nothing here decides by an error's text."""

import logging

from boxship.cluster.objects import failure
from boxship.cluster.objects.failure import Failure
from boxship.errors import BoxshipError
from boxship.transport.exchange import BodyTooLarge, Request

log = logging.getLogger("boxship.kube")

BODY_BYTES = 3 * 1024 * 1024


def failure_of(error: Exception, request: Request) -> Failure:
    """The refusal that a client reads. What is a mistake of ours is logged with its place, and told without."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, BodyTooLarge):
        return failure.too_large(BODY_BYTES)
    if isinstance(error, BoxshipError):
        found = failure.of_error(error)
        if found.code >= 500 and found.code != 501:
            log.error("%s %s: %s", request.method, request.shown, error)
        return found
    log.error("%s %s failed", request.method, request.shown, exc_info=error)
    return failure.internal("an unexpected error; the log of boxship-control has it")


def wrong_method() -> Failure:
    return Failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
