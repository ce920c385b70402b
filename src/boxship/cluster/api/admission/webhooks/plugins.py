"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook.

Mutating webhooks are asked one after another in the order of their names, each with what those before it made;
validating ones side by side. A webhook that does not answer refuses (failurePolicy Fail) or is passed over (Ignore).
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from boxship.cluster.api.admission import Attributes, Lookup, fingerprint
from boxship.cluster.api.admission.webhooks.calling import ask
from boxship.cluster.api.admission.webhooks.matching import (
    GROUP,
    SPARED,
    Others,
    find,
    needs_namespace,
    selects_namespace,
    selects_objects,
)
from boxship.cluster.api.admission.webhooks.review import ANSWER_BYTES, Verdict, Wrong, answer, question, request_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, internal
from boxship.cluster.objects.resource import Resource
from boxship.errors import BoxshipError
from boxship.transport.client import HttpClient

TIMEOUT_SECONDS = 10

Convert = Callable[[Object, Resource], Awaitable[Object]]
Conditions = Callable[[Sequence[Object], Attributes, Object], Awaitable[bool]]  # (matchConditions, attributes, request)
Patch = Callable[[Object, Sequence[Any]], Object]
Finish = Callable[[Object, Resource], Object]  # defaults again after a patch


class Parts(msgspec.Struct, frozen=True):
    """What both plugins work with. `others` are the versions that the same objects are served in; `convert` turns an
    object into the version of a resource; `conditions` evaluates matchConditions and raises Failure; `patch` is JSON
    patch; `finish` prunes and defaults a patched object."""

    lookup: Lookup
    client: HttpClient
    others: Others
    convert: Convert
    conditions: Conditions
    patch: Patch
    finish: Finish


class Call(msgspec.Struct, frozen=True):
    """One webhook that is to be asked about one write."""

    webhook: Object
    resource: Resource
    configuration: str

    @property
    def name(self) -> str:
        return str(self.webhook["name"])

    @property
    def ignores(self) -> bool:
        return bool(self.webhook.get("failurePolicy", "Fail") == "Ignore")


class _Webhooks:
    """What both kinds have in common: finding those concerned, and asking one."""

    def __init__(self, parts: Parts, path: str, word: str) -> None:
        self._parts = parts
        self._path = path
        self._word = word

    async def concerned(self, attributes: Attributes) -> list[Call]:
        """In the order of the configurations' names."""
        resource = attributes.request.resource
        if resource.group == GROUP and resource.plural in SPARED:
            return []
        configurations = await self._parts.lookup.list(self._path)
        if not configurations:
            return []
        found = []
        for configuration in sorted(configurations, key=lambda each: str(each["metadata"]["name"])):
            for webhook in configuration.get("webhooks") or ():
                if (call := await self._match(webhook, attributes, configuration["metadata"]["name"])) is not None:
                    found.append(call)
        return found

    async def _match(self, webhook: Object, attributes: Attributes, configuration: str) -> Call | None:
        policy = webhook.get("matchPolicy", "Equivalent")
        match = find(webhook.get("rules") or (), attributes, policy, self._parts.others)
        if match is None or not selects_objects(webhook.get("objectSelector"), attributes):
            return None
        selector = webhook.get("namespaceSelector")
        if needs_namespace(selector) and not selects_namespace(selector, await self._namespace_labels(attributes)):
            return None
        return Call(webhook, match.resource, configuration)

    async def _namespace_labels(self, attributes: Attributes) -> Object | None:
        request = attributes.request
        if request.resource.path == "v1/namespaces":
            made = attributes.object or attributes.old or {}
            own: Object = (made.get("metadata") or {}).get("labels") or {}
            return own
        if not request.namespace:
            return None
        namespace = await self._parts.lookup.get("v1/namespaces", "", request.namespace)
        labels: Object = ((namespace or {}).get("metadata") or {}).get("labels") or {}
        return labels

    async def ask(self, call: Call, attributes: Attributes, *, may_patch: bool) -> Verdict | None:
        """Its verdict; None where it is passed over. Raises Failure where it does not answer and has to."""
        uid = str(uuid.uuid4())
        told = await self._told(call, attributes, uid)
        try:
            conditions = call.webhook.get("matchConditions") or ()
            if conditions and not await self._parts.conditions(conditions, attributes, told):
                return None
        except Failure:
            if call.ignores:
                return None
            raise
        if attributes.dry_run and call.webhook.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise Failure(400, "BadRequest", f'admission webhook "{call.name}" does not support dry run')
        seconds = float(call.webhook.get("timeoutSeconds") or TIMEOUT_SECONDS)
        got = await ask(
            self._parts.client, self._parts.lookup, call.webhook["clientConfig"], question(told), seconds, ANSWER_BYTES
        )
        try:
            if not isinstance(got, bytes):
                raise Wrong(got[0])
            verdict = answer(got, uid, may_patch=may_patch)
        except Wrong as wrong:
            self._unanswered(call, attributes, str(wrong))
            return None
        for text in verdict.warnings:
            attributes.warn(text)
        for key, value in verdict.annotations.items():
            attributes.request.notes[f"{call.name}/{key}"] = value
        if not verdict.allowed:
            raise _refusal(call, verdict)
        return verdict

    async def _told(self, call: Call, attributes: Attributes, uid: str) -> Object:
        made, old = attributes.object, attributes.old
        if call.resource.path != attributes.request.resource.path:
            made = await self._parts.convert(made, call.resource) if made is not None else None
            old = await self._parts.convert(old, call.resource) if old is not None else None
        return request_of(attributes, call.resource, uid, made, old)

    def _unanswered(self, call: Call, attributes: Attributes, why: str) -> None:
        if call.ignores:
            attributes.request.notes[f"failed-open.{self._word}.webhook.admission.k8s.io/{call.configuration}"] = (
                call.name
            )
            return
        raise internal(f'failed calling webhook "{call.name}": failed to call webhook: {why}')


def _refusal(call: Call, verdict: Verdict) -> Failure:
    """The original's text; the webhook's own code and reason, where they are those of an error."""
    text = f'admission webhook "{call.name}" denied the request'
    if verdict.message:
        text = f"{text}: {verdict.message}"
    elif verdict.reason:
        text = f"{text}: {verdict.reason}"
    else:
        text = f"{text} without explanation"
    code = verdict.code if 400 <= verdict.code <= 599 else 400
    return Failure(code, verdict.reason, text)


class MutatingAdmissionWebhook:
    """Implements Plugin."""

    name = "MutatingAdmissionWebhook"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._webhooks = _Webhooks(parts, f"{GROUP}/v1/mutatingwebhookconfigurations", "mutating")

    async def admit(self, attributes: Attributes) -> None:
        seen: dict[str, bytes] = attributes.memory.setdefault(self.name, {})
        for call in await self._webhooks.concerned(attributes):
            mark = f"{call.configuration}/{call.name}"
            if attributes.again and mark in seen:
                # Only those who ask for it look again, and only at what has changed since.
                unchanged = seen[mark] == fingerprint(attributes)
                if unchanged or call.webhook.get("reinvocationPolicy", "Never") != "IfNeeded":
                    continue
            verdict = await self._webhooks.ask(call, attributes, may_patch=True)
            if verdict is not None and verdict.patch and attributes.object is not None:
                await self._apply(call, verdict, attributes)
            seen[mark] = fingerprint(attributes)

    async def _apply(self, call: Call, verdict: Verdict, attributes: Attributes) -> None:
        assert attributes.object is not None
        resource = attributes.request.resource
        made = attributes.object
        same = call.resource.path == resource.path
        try:
            made = made if same else await self._parts.convert(made, call.resource)
            made = self._parts.patch(made, verdict.patch)
            made = made if same else await self._parts.convert(made, resource)
            made = self._parts.finish(made, resource)
        except BoxshipError as error:
            raise internal(f'admission webhook "{call.name}" returned a patch that cannot be used: {error}') from None
        attributes.altered |= made != attributes.object
        attributes.object = made

    async def validate(self, attributes: Attributes) -> None:
        return None


class ValidatingAdmissionWebhook:
    """Implements Plugin."""

    name = "ValidatingAdmissionWebhook"

    def __init__(self, parts: Parts) -> None:
        self._webhooks = _Webhooks(parts, f"{GROUP}/v1/validatingwebhookconfigurations", "validating")

    async def admit(self, attributes: Attributes) -> None:
        return None

    async def validate(self, attributes: Attributes) -> None:
        calls = await self._webhooks.concerned(attributes)
        if not calls:
            return
        asked = [self._webhooks.ask(call, attributes, may_patch=False) for call in calls]
        for done in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(done, BaseException):
                raise done
