"""One line of the audit log: audit.k8s.io/v1 Event, from what is known of a request. Pure; bodies are read where the
line is written, which is not where requests are served."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from boxship.cluster.api.audit.policy import Decided, Level
from boxship.cluster.api.authorization.reviews import user_object
from boxship.cluster.api.request import Ask, Body, User
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.times import stamp_micro

BODY_LIMIT = 1 << 20  # bytes of an object that are told; a larger one is left out
ReadBody = Callable[[Body], Any]


class Facts(msgspec.Struct):
    """What is known of a request, as it goes on."""

    audit_id: str
    uri: str
    verb: str
    user: User
    peer: str
    agent: str
    ask: Ask
    decided: Decided
    received: datetime
    acting: User | None = None
    body: Body | None = None
    code: int = 0
    answer: bytes | None = None
    refusal: Failure | None = None
    notes: Mapping[str, str] = {}


def event_of(facts: Facts, stage: str, now: datetime, read: ReadBody) -> dict[str, Any]:
    """The event of one stage."""
    event: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": facts.decided.level.text,
        "auditID": facts.audit_id,
        "stage": stage,
        "requestURI": facts.uri,
        "verb": facts.verb,
        "user": user_object(facts.user),
    }
    if facts.acting is not None and facts.acting is not facts.user:
        event["impersonatedUser"] = user_object(facts.acting)
    if facts.peer:
        event["sourceIPs"] = [facts.peer]
    if facts.agent:
        event["userAgent"] = facts.agent
    if not facts.ask.path:
        event["objectRef"] = _reference(facts.ask)
    if facts.code:
        event["responseStatus"] = _status(facts)
    level = facts.decided.level
    if facts.body is not None and level >= Level.REQUEST:
        event["requestObject"] = _without_managed(_body(facts.body, read), facts.decided)
    if facts.answer is not None and level >= Level.REQUEST_RESPONSE and len(facts.answer) <= BODY_LIMIT:
        answer = _body(Body("application/json", facts.answer), read)
        event["responseObject"] = _without_managed(answer, facts.decided)
    event["requestReceivedTimestamp"] = stamp_micro(facts.received)
    event["stageTimestamp"] = stamp_micro(now)
    if facts.notes:
        event["annotations"] = dict(facts.notes)
    return event


def _reference(ask: Ask) -> dict[str, str]:
    named = {
        "resource": ask.resource,
        "namespace": ask.namespace,
        "name": ask.name,
        "apiGroup": ask.group,
        "apiVersion": ask.version,
        "subresource": ask.subresource,
    }
    return {key: value for key, value in named.items() if value}


def _status(facts: Facts) -> dict[str, Any]:
    status: dict[str, Any] = {"metadata": {}, "code": facts.code}
    if facts.refusal is not None:
        told = facts.refusal.status()
        status |= {key: told[key] for key in ("status", "message", "reason", "details") if key in told}
    return status


def _body(body: Body, read: ReadBody) -> Any:
    if len(body.data) > BODY_LIMIT:
        return {"note": f"left out: {len(body.data)} bytes"}
    return read(body)


def _without_managed(object: Any, decided: Decided) -> Any:
    if not decided.omits_managed or not isinstance(object, dict):
        return object
    items = object.get("items")
    found = [object, *(items if isinstance(items, list) else ())]
    for one in found:
        if isinstance(one, dict) and isinstance(one.get("metadata"), dict):
            one["metadata"].pop("managedFields", None)
    return object


def read_json(body: Body) -> Any:
    """A body as it is told: JSON as it is, of other forms only the size."""
    if "json" in body.media_type:
        try:
            return msgspec.json.decode(body.data)
        except (msgspec.DecodeError, RecursionError):
            return {"note": "left out: no JSON"}
    return {"note": f"left out: {len(body.data)} bytes of {body.media_type}"}
