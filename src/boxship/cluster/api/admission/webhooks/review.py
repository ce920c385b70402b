"""AdmissionReview v1: the question to a webhook and what its answer may say. Pure.

Source: admission.k8s.io/v1, AdmissionRequest and AdmissionResponse.
"""

import base64
import binascii
from typing import Any

import msgspec

from boxship.cluster.api.admission import Attributes
from boxship.cluster.api.request import Request
from boxship.cluster.objects import Object
from boxship.cluster.objects.resource import Resource

API_VERSION = "admission.k8s.io/v1"
WARNING_LIMIT = 256  # characters of one warning
ANSWER_BYTES = 8 << 20


class Wrong(Exception):
    """The answer is none; the message says why."""


class Verdict(msgspec.Struct, frozen=True):
    """What a webhook decided. `code`, `reason`, `message` are of its Status where it refused."""

    allowed: bool
    code: int = 400
    reason: str = ""
    message: str = ""
    patch: list[Any] = []
    warnings: tuple[str, ...] = ()
    annotations: dict[str, str] = {}


def _kind(resource: Resource, kind: str = "") -> Object:
    return {"group": resource.group, "version": resource.version, "kind": kind or resource.kind}


def _resource(resource: Resource) -> Object:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def _kind_of_part(asked: Request) -> Object | None:
    """The kind that a subresource takes, where it is not the object's own."""
    part = asked.resource.subresources.get(asked.subresource)
    if part is None or not part.kind:
        return None
    group, version = (part.group, part.version) if part.version else (asked.resource.group, asked.resource.version)
    return {"group": group, "version": version, "kind": part.kind}


def request_of(
    attributes: Attributes,
    resource: Resource,
    uid: str,
    made: Object | None,
    old: Object | None,
) -> Object:
    """The `request` part, with the objects in the version of `resource`; also what CEL sees as `request`."""
    asked = attributes.request
    kind = _kind_of_part(asked)
    user = asked.user
    told: Object = {
        "uid": uid,
        "kind": kind or _kind(resource),
        "resource": _resource(resource),
        "requestKind": kind or _kind(asked.resource),
        "requestResource": _resource(asked.resource),
        "operation": attributes.operation,
        "userInfo": {"username": user.name, "groups": list(user.groups)},
        "object": made,
        "oldObject": old,
        "dryRun": attributes.dry_run,
        "options": attributes.options or None,
    }
    if user.uid:
        told["userInfo"]["uid"] = user.uid
    if user.extra:
        told["userInfo"]["extra"] = {key: list(values) for key, values in user.extra.items()}
    if attributes.name:
        told["name"] = attributes.name
    if asked.namespace:
        told["namespace"] = asked.namespace
    if asked.subresource:
        told["subResource"] = told["requestSubResource"] = asked.subresource
    return told


def question(told: Object) -> bytes:
    return msgspec.json.encode({"kind": "AdmissionReview", "apiVersion": API_VERSION, "request": told})


def answer(data: bytes, uid: str, *, may_patch: bool) -> Verdict:
    """Read a webhook's answer. Raises Wrong."""
    try:
        review = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise Wrong(f"it is no JSON: {error}") from None
    if not isinstance(review, dict) or not isinstance(review.get("response"), dict):
        raise Wrong("expected response.uid to be set, got none: there is no response")
    if (review.get("kind"), review.get("apiVersion")) != ("AdmissionReview", API_VERSION):
        got = f"{review.get('apiVersion')}, Kind={review.get('kind')}"
        raise Wrong(f"expected webhook response of {API_VERSION}, Kind=AdmissionReview, got {got}")
    response = review["response"]
    if response.get("uid") != uid:
        raise Wrong(f'expected response.uid="{uid}", got "{response.get("uid")}"')
    status = response.get("status") or {}
    return Verdict(
        allowed=response.get("allowed") is True,
        code=int(status.get("code") or 0),
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or ""),
        patch=_patch(response, may_patch),
        warnings=tuple(str(text)[:WARNING_LIMIT] for text in response.get("warnings") or ()),
        annotations={str(key): str(value) for key, value in (response.get("auditAnnotations") or {}).items()},
    )


def _patch(response: Object, may_patch: bool) -> list[Any]:
    text = response.get("patch")
    kind = response.get("patchType")
    if not text and not kind:
        return []
    if not may_patch:
        raise Wrong("validating webhooks may not patch")
    if kind != "JSONPatch":
        raise Wrong(f'webhook returned response.patchType "{kind}", expected "JSONPatch"')
    try:
        operations = msgspec.json.decode(base64.b64decode(str(text), validate=True))
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise Wrong(f"its patch cannot be read: {error}") from None
    if not isinstance(operations, list):
        raise Wrong("its patch is no list of operations")
    return operations
