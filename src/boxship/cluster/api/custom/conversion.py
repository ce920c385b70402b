"""Objects of a custom kind from one of its versions to another: by changing the apiVersion alone, or by the webhook
that the definition names.

Whatever comes back is pruned and defaulted by the schema of its new version, and may differ from what was sent only
where the original allows it: never in name, namespace, uid or kind, and of the metadata only in labels and annotations.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.admission.webhooks.calling import ask
from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.custom.defaulting import put_defaults
from boxship.cluster.objects.custom.reading import prune
from boxship.cluster.objects.failure import Failure, internal
from boxship.cluster.objects.schema.types import Type
from boxship.transport.client import HttpClient

TIMEOUT_SECONDS = 30.0
ANSWER_BYTES = 16 * 1024 * 1024
KNOWN_REVIEWS = ("v1",)
CHANGEABLE = ("labels", "annotations")


class Converter:
    """The conversion of one definition; `types` are the root types of its versions by apiVersion."""

    def __init__(self, spec: Object, types: Mapping[str, Type], client: HttpClient, lookup: Lookup) -> None:
        conversion = spec.get("conversion") or {}
        self._webhook = conversion.get("webhook") if conversion.get("strategy") == "Webhook" else None
        self._kind = spec["names"]["kind"]
        self._types = types
        self._client = client
        self._lookup = lookup

    async def convert(self, objects: Sequence[Object], api_version: str) -> Sequence[Object]:
        """Raises Failure 500 where the webhook does not do what it should."""
        if self._webhook is None:
            converted = [{**copied(object), "apiVersion": api_version} for object in objects]
        else:
            converted = await self._by_webhook(objects, api_version)
        type_ = self._types[api_version]
        for object in converted:
            prune(object, type_)
            put_defaults(object, type_)
        return converted

    async def _by_webhook(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        assert self._webhook is not None
        asked = [object for object in objects if object["apiVersion"] != api_version]
        if not asked:
            return [copied(object) for object in objects]
        if not set(self._webhook.get("conversionReviewVersions") or ()) & set(KNOWN_REVIEWS):
            raise self._failed(asked, "it does not take ConversionReview v1")
        identity = str(uuid.uuid4())
        request = {"uid": identity, "desiredAPIVersion": api_version, "objects": asked}
        review = {"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "request": request}
        config = self._webhook.get("clientConfig") or {}
        body = msgspec.json.encode(review)
        data = await ask(self._client, self._lookup, config, body, TIMEOUT_SECONDS, ANSWER_BYTES)
        if not isinstance(data, bytes):
            raise self._failed(asked, data[0])
        answered = iter(self._answer(asked, data, identity, api_version))
        return [next(answered) if object["apiVersion"] != api_version else copied(object) for object in objects]

    def _answer(self, asked: Sequence[Object], data: bytes, identity: str, api_version: str) -> list[Object]:
        try:
            response = msgspec.json.decode(data)["response"]
            result, converted = response.get("result") or {}, response.get("convertedObjects") or []
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            raise self._failed(asked, f"unexpected response: {data[:200].decode(errors='replace')}") from None
        if response.get("uid") != identity:
            raise self._failed(asked, f"expected response.uid={json.dumps(identity)}, got {response.get('uid')!r}")
        if result.get("status") != "Success":
            raise self._failed(asked, str(result.get("message") or "no message"))
        if len(converted) != len(asked):
            raise self._failed(asked, f"expected {len(asked)} converted objects, got {len(converted)}")
        for index, (before, after) in enumerate(zip(asked, converted, strict=True)):
            why = _wrong(before, after, api_version)
            if why:
                raise self._failed(asked, f"invalid converted object at index {index}: {why}")
            metadata = dict(before["metadata"])
            for key in CHANGEABLE:
                metadata.pop(key, None)
                if after["metadata"].get(key):
                    metadata[key] = after["metadata"][key]
            after["metadata"] = metadata
        return list(converted)

    def _failed(self, asked: Sequence[Object], why: str) -> Failure:
        return internal(f"conversion webhook for {asked[0]['apiVersion']}, Kind={self._kind} failed: {why}")


def _wrong(before: Object, after: Any, api_version: str) -> str:
    """What a converted object may not be, or ""."""
    if not isinstance(after, dict) or not isinstance(after.get("metadata"), dict):
        return "it has no metadata"
    if after.get("apiVersion") != api_version:
        return f"invalid groupVersion (expected {api_version}, received {after.get('apiVersion')})"
    if after.get("kind") != before["kind"]:
        return f"invalid kind (expected {before['kind']}, received {after.get('kind')})"
    for key in ("name", "namespace", "uid"):
        if before["metadata"].get(key) != after["metadata"].get(key):
            return f"invalid {key} (expected {before['metadata'].get(key)}, received {after['metadata'].get(key)})"
    for key in CHANGEABLE:
        values = after["metadata"].get(key)
        if values is not None and not (
            isinstance(values, dict) and all(isinstance(value, str) for value in values.values())
        ):
            return f"invalid metadata of converted object: {key} must be texts"
    return ""
