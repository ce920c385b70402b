"""The audit of one API server: what a policy asks for goes into a queue, and from there into the journal, in a thread
of its own and some lines at a time. Implements gate.Audit."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from boxship.cluster.api.audit.events import Facts, event_of, read_json
from boxship.cluster.api.audit.journal import Journal
from boxship.cluster.api.audit.policy import COMPLETE, RECEIVED, STARTED, Level, Policy, user_seen
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.gate import Visit
from boxship.cluster.api.request import Answer, Ask, Body, Request
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.times import stamp_micro
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

GATHER = 0.05  # seconds in which lines are gathered before they are written
# What does not fit into the queue any more is counted, and the count is written down.
QUEUE_LINES = 20_000
QUEUE_BYTES = 64 << 20  # of bodies and answers
NAMED_LIMIT = 256 << 10  # bytes of a created object that are looked through for its name
DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"


class Auditor:
    """`read` makes an object of a body."""

    def __init__(self, policy: Policy, journal: Journal, clock: Clock, read: Callable[[Body], Any] = read_json) -> None:
        self._policy = policy
        self._journal = journal
        self._clock = clock
        self._read = read
        self._queue: list[tuple[Facts, str, Any]] = []
        self._bytes = 0  # of the queue
        self._lost = 0
        self._wake = asyncio.Event()

    def begin(self, visit: Visit, ask: Ask, request: Request | None) -> "Trail | None":
        """What is to be told about this request; None: nothing."""
        user = visit.user or ask.user
        decided = self._policy.decide(user_seen(ask, user))
        if decided.level is Level.NONE:
            return None
        facts = Facts(
            audit_id=visit.audit_id,
            uri=visit.uri,
            verb=ask.verb,
            user=user,
            peer=visit.peer,
            agent=visit.agent,
            ask=ask,
            decided=decided,
            received=self._clock.now(),
            acting=visit.acting,
            body=request.body if request is not None and decided.level >= Level.REQUEST else None,
        )
        return Trail(self, facts, visit, request)

    def put(self, facts: Facts, stage: str) -> None:
        """For trails: one line."""
        if stage in facts.decided.omitted:
            return
        size = (len(facts.body.data) if facts.body is not None else 0) + len(facts.answer or b"")
        if len(self._queue) >= QUEUE_LINES or self._bytes + size > QUEUE_BYTES:
            self._lost += 1
            return
        self._bytes += size
        self._queue.append((facts, stage, self._clock.now()))
        self._wake.set()

    async def run(self) -> None:
        """Without end: write what comes. What is left when it is cancelled is written, too."""
        try:
            while True:
                await self._wake.wait()
                await asyncio.sleep(GATHER)
                await self._flush()
        finally:
            await asyncio.shield(self._flush())
            self._journal.close()

    async def _flush(self) -> None:
        self._wake.clear()
        lines, self._queue, self._bytes = self._queue, [], 0
        lost, self._lost = self._lost, 0
        if not lines and not lost:
            return
        try:
            await asyncio.to_thread(self._write, lines, lost)
        except BoxshipError as error:
            self._lost += lost + len(lines)
            log.error("%s; %d events are lost", error, len(lines))

    def _write(self, lines: list[tuple[Facts, str, Any]], lost: int) -> None:
        """In a thread."""
        events = [event_of(facts, stage, now, self._read) for facts, stage, now in lines]
        if lost:
            events.insert(0, self._loss(lost))
        self._journal.write(events)

    def _loss(self, count: int) -> dict[str, Any]:
        """A line in place of those that could not be kept."""
        return {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": "",
            "stage": "Panic",
            "requestURI": "",
            "verb": "",
            "user": {"username": "system:apiserver"},
            "stageTimestamp": stamp_micro(self._clock.now()),
            "annotations": {"boxship/lost-events": str(count)},
        }


class _Metadata(msgspec.Struct):
    name: str = ""


class _Named(msgspec.Struct):
    metadata: _Metadata | None = None


_named = msgspec.json.Decoder(_Named)


def _name_in(answer: Answer | None, request: Request | None) -> str:
    """The name of what was to be created, which the path does not have; "" where it is not easily found."""
    data = answer.body if answer is not None else b""
    if not data and request is not None and request.body is not None and "json" in request.body.media_type:
        data = request.body.data
    if len(data) > NAMED_LIMIT:
        return ""
    try:
        found = _named.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return ""
    return found.metadata.name if found.metadata is not None else ""


class Trail:
    """Implements gate.Record: one request's way through the audit."""

    def __init__(self, auditor: Auditor, facts: Facts, visit: Visit, request: Request | None) -> None:
        self._auditor = auditor
        self._facts = facts
        self._visit = visit
        self._request = request

    def received(self) -> None:
        self._auditor.put(self._facts, RECEIVED)

    def started(self, code: int) -> None:
        self._facts = self._noted(code)
        self._auditor.put(self._facts, STARTED)

    def completed(self, code: int, answer: Answer | None, refusal: Failure | None) -> None:
        facts = self._noted(code)
        facts.refusal = refusal
        if facts.verb == "create" and not facts.ask.name and not facts.ask.path:
            facts.ask = msgspec.structs.replace(facts.ask, name=_name_in(answer, self._request))
        # What goes on in a rest is longer than anything that is told.
        if answer is not None and answer.rest is None and facts.decided.level is Level.REQUEST_RESPONSE:
            facts.answer = answer.document()
        self._auditor.put(facts, COMPLETE)

    def _noted(self, code: int) -> Facts:
        """A copy, because the first may be in the queue still."""
        notes = dict(self._request.notes) if self._request is not None else {}
        decision = self._visit.decision
        if decision is not None:
            notes |= {DECISION: "allow" if decision.allowed else "forbid", REASON: decision.reason}
        return msgspec.structs.replace(self._facts, code=code, notes=notes, acting=self._visit.acting)
