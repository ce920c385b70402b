"""From a patch and what is stored to what is to be stored: the four kinds of patches.

A patch speaks the request's version. It is read once; where another writer is faster it is put on the newer state
again.
"""

from collections.abc import Sequence
from typing import Any

from boxship.cluster.api import documents
from boxship.cluster.api.request import Request
from boxship.cluster.api.views import to_json
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause, Failure, bad_request, invalid, unsupported_media_type
from boxship.cluster.objects.kinds.checking import quote
from boxship.cluster.objects.media_types import CUSTOM_PATCHES, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from boxship.cluster.objects.patch import json_patch, merge, strategic
from boxship.cluster.objects.patch.operations import unknown_fields
from boxship.cluster.objects.schema.types import Type

SHOWN_LIMIT = 2_000  # characters of a patch that an error tells


class SentPatch:
    """A JSON, merge or strategic merge patch: makes the object that a request wants of the one that is there."""

    def __init__(self, media_type: str, patch: Any, type_: Type) -> None:
        self._media_type = media_type
        self._patch = patch
        self._type = type_

    def on(self, object: Object) -> Object:
        if self._media_type == JSON_PATCH:
            return json_patch(object, self._patch)
        if self._media_type == MERGE_PATCH:
            return merge(object, self._patch)
        return strategic(object, self._patch, self._type)

    def refusal(self, why: str) -> Failure:
        """422: what the patch makes of the object does not fit its schema."""
        go = self._media_type == STRATEGIC_PATCH
        shown = _go_text(self._patch) if go else to_json(self._patch).decode()
        cut = shown if len(shown) <= SHOWN_LIMIT else f"{shown[:SHOWN_LIMIT]}…"
        return invalid("", "", "", [Cause("FieldValueInvalid", "patch", f"Invalid value: {quote(cut)}: {why}")])


def _go_text(value: Any) -> str:
    """A value as the original's texts show one that it has decoded."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_go_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_go_text, value))}]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)


def read(request: Request, type_: Type) -> tuple[SentPatch, Sequence[str]]:
    """The patch of a request that is no apply, and what strict decoding has to say of its own fields. Raises
    Failure."""
    assert request.body is not None
    media_type = request.body.media_type
    if media_type == STRATEGIC_PATCH and request.resource.custom:
        raise unsupported_media_type(CUSTOM_PATCHES)
    patch, twice = documents.read_patch(request.body)
    if request.options.force:
        cause = Cause("FieldValueForbidden", "force", "Forbidden: may not be specified for non-apply patch")
        raise invalid("meta.k8s.io", "PatchOptions", "", [cause])
    if media_type == JSON_PATCH:
        if not isinstance(patch, list):
            raise bad_request(
                "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
            )
        twice = [*(f"json patch {text}" for text in twice), *unknown_fields(patch)]
    elif not isinstance(patch, dict):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal non-object into Go value of type map[string]any"
        )
    return SentPatch(media_type, patch, type_), twice


def read_applied(request: Request) -> tuple[Object, Sequence[str]]:
    """The object of a server-side apply. Raises Failure."""
    assert request.body is not None
    if not request.options.field_manager:
        cause = Cause("FieldValueRequired", "fieldManager", "Required value: is required for apply patch")
        raise invalid("meta.k8s.io", "PatchOptions", "", [cause])
    value, twice = documents.read_patch(request.body)
    if not isinstance(value, dict):
        raise bad_request("error decoding YAML: the applied configuration is not an object")
    for field, called in (("apiVersion", "apiVersion"), ("kind", "Kind")):
        if not value.get(field):
            raise bad_request(f"error decoding YAML: Object '{called}' is missing in the applied configuration")
    metadata = value.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    return value, twice
