"""A refused request, with all that a Kubernetes client reads from a Status object (API conventions, "Response Status
Kind"): code, reason, message, details with causes.

The texts are those of the original, because clients and people match them.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from boxship import errors
from boxship.cluster.objects.resource import Resource
from boxship.errors import BoxshipError


class Cause(msgspec.Struct, frozen=True):
    """One wrong field. `reason` is FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, FieldValueForbidden,
    FieldValueDuplicate, FieldValueNotFound, FieldValueTooLong, FieldValueTooMany, FieldValueTypeInvalid …; `field` is
    its path ("spec.ports[0].name"); `message` begins with the kind of problem ('Required value: …',
    'Invalid value: "x": …')."""

    reason: str
    field: str
    message: str


class Failure(BoxshipError):
    """Raised by everything in `cluster` that refuses a request for a reason that has a Status of its own."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        name: str = "",
        group: str = "",
        kind: str = "",
        causes: Iterable[Cause] = (),
        retry_after: int = 0,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """`code` is the HTTP status; `kind` the details' kind (the plural name, or the Kind for Invalid); `retry_after`
        in seconds; `metadata` is the Status's list metadata (a continue token with Expired)."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.name = name
        self.group = group
        self.kind = kind
        self.causes = tuple(causes)
        self.retry_after = retry_after
        self.metadata = metadata or {}

    def status(self) -> dict[str, Any]:
        """The Status object."""
        details: dict[str, Any] = {}
        for key, value in (("name", self.name), ("group", self.group), ("kind", self.kind)):
            if value:
                details[key] = value
        if self.causes:
            details["causes"] = [
                {key: value for key, value in msgspec.structs.asdict(cause).items() if value} for cause in self.causes
            ]
        if self.retry_after:
            details["retryAfterSeconds"] = self.retry_after
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "code": self.code,
        }
        if details:
            status["details"] = details
        return status


def not_found(resource: Resource, name: str) -> Failure:
    message = f'{resource.qualified} "{name}" not found'
    return Failure(404, "NotFound", message, name=name, group=resource.group, kind=resource.plural)


def no_such_path() -> Failure:
    """For a path, a resource or a part of one that nobody serves."""
    return Failure(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: Resource, name: str) -> Failure:
    message = f'{resource.qualified} "{name}" already exists'
    return Failure(409, "AlreadyExists", message, name=name, group=resource.group, kind=resource.plural)


def conflict(resource: Resource, name: str, why: str = "", causes: Iterable[Cause] = ()) -> Failure:
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return Failure(409, "Conflict", message, name=name, group=resource.group, kind=resource.plural, causes=causes)


def invalid(group: str, kind: str, name: str, causes: Iterable[Cause]) -> Failure:
    """422: the object's fields break the kind's rules."""
    causes = tuple(causes)
    texts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    shown = f"{kind}.{group}" if group else kind
    message = f'{shown} "{name}" is invalid: {listed}' if texts else f'{shown} "{name}" is invalid'
    return Failure(422, "Invalid", message, name=name, group=group, kind=kind, causes=causes)


def forbidden(resource: Resource, name: str, why: str, causes: Iterable[Cause] = ()) -> Failure:
    shown = f'{resource.qualified} "{name}"' if name else resource.qualified
    message = f"{shown} is forbidden: {why}"
    return Failure(403, "Forbidden", message, name=name, group=resource.group, kind=resource.plural, causes=causes)


class Unreadable(Failure):
    """400: a body that does not fit its schema. `why` leaves out what body it is: a patch tells that otherwise."""

    def __init__(self, body: str, why: str) -> None:
        super().__init__(400, "BadRequest", f"{body}: {why}")
        self.why = why


def bad_request(why: str) -> Failure:
    return Failure(400, "BadRequest", why)


def unauthorized(why: str = "Unauthorized") -> Failure:
    return Failure(401, "Unauthorized", why)


def method_not_supported(resource: Resource, verb: str) -> Failure:
    message = f'{verb} is not supported on resources of kind "{resource.qualified}"'
    return Failure(405, "MethodNotAllowed", message, group=resource.group, kind=resource.plural)


def not_acceptable(offered: Iterable[str]) -> Failure:
    listed = ", ".join(offered)
    return Failure(406, "NotAcceptable", f"only the following media types are accepted: {listed}")


def unsupported_media_type(offered: Iterable[str]) -> Failure:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(offered)}"
    return Failure(415, "UnsupportedMediaType", message)


def too_large(limit: int) -> Failure:
    message = f"Request entity too large: limit is {limit}"
    return Failure(413, "RequestEntityTooLarge", message)


def expired(why: str, token: str = "") -> Failure:
    """410: the version or continue token is too old; with `token` a list can go on at another version."""
    return Failure(410, "Expired", why, metadata={"continue": token} if token else None)


def too_many_requests(why: str, retry_after: int = 1) -> Failure:
    return Failure(429, "TooManyRequests", why, retry_after=retry_after)


def timed_out(why: str, retry_after: int = 0) -> Failure:
    return Failure(504, "Timeout", f"Timeout: {why}", retry_after=retry_after)


def internal(why: str) -> Failure:
    return Failure(500, "InternalError", f"Internal error occurred: {why}")


def unavailable(why: str, retry_after: int = 1) -> Failure:
    return Failure(503, "ServiceUnavailable", why, retry_after=retry_after)


# What other rooms raise, as clients are told of it: code and reason. The first that fits counts.
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
    (errors.Canceled, 499, "ClientClosedRequest"),
    (errors.Internal, 500, "InternalError"),
)


def of_error(error: errors.BoxshipError) -> Failure:
    """The Failure that such an error is for a client."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, errors.Timeout):
        return timed_out(str(error))
    for kind, code, reason in TABLE:
        if isinstance(error, kind):
            return Failure(code, reason, str(error), retry_after=1 if code == 503 else 0)
    return internal(str(error))


def of_status(status: dict[str, Any]) -> Failure:
    """The Failure that a Status object tells of, as a client got it."""
    details = status.get("details") or {}
    causes = [
        Cause(str(cause.get("reason", "")), str(cause.get("field", "")), str(cause.get("message", "")))
        for cause in details.get("causes") or ()
    ]
    return Failure(
        int(status.get("code") or 500),
        str(status.get("reason") or ""),
        str(status.get("message") or "unknown"),
        name=str(details.get("name") or ""),
        group=str(details.get("group") or ""),
        kind=str(details.get("kind") or ""),
        causes=causes,
        retry_after=int(details.get("retryAfterSeconds") or 0),
        metadata=status.get("metadata") or {},
    )
