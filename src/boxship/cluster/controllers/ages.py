"""What is kept for a time only: events for an hour after they last happened, bootstrap tokens until they expire."""

import asyncio
import base64
import datetime
from collections.abc import Callable, Sequence

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.times import moment
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

EVENTS = "v1/events"
EVENT_LIFE = datetime.timedelta(hours=1)
SHORTEST, LONGEST = 30.0, 600.0  # seconds between two looks at the events
AT_ONCE = 50  # deletions before others have their turn
TOKEN_TYPE = "bootstrap.kubernetes.io/token"
Now = Callable[[], datetime.datetime]


class EventAges:
    """Looks at all events when the oldest is due: nothing is kept of them meanwhile."""

    name = "event-ttl-controller"
    workers = 1
    caches: Sequence[Cache] = ()

    def __init__(self, client: Client, now: Now, life: datetime.timedelta = EVENT_LIFE) -> None:
        self._client = client
        self._now = now
        self._life = life
        self.queue: Queue[str] = Queue()

    async def run(self) -> None:
        self.queue.add(EVENTS)

    async def reconcile(self, key: str) -> Again | None:
        oldest = self._now()
        for count, event in enumerate((await self._client.list(EVENTS)).items, 1):
            happened = last_of(event)
            if happened + self._life <= self._now():
                await self._delete(event)
            else:
                oldest = min(oldest, happened)
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)
        due = (oldest + self._life - self._now()).total_seconds()
        return Again(min(max(due, SHORTEST), LONGEST))

    async def _delete(self, event: Object) -> None:
        metadata = event["metadata"]
        try:
            await self._client.delete(
                EVENTS, metadata["namespace"], metadata["name"], version=metadata["resourceVersion"]
            )
        except Failure as failure:
            if failure.reason not in ("NotFound", "Conflict"):  # a conflict: it has happened again
                raise


class TokenAges:
    """`secrets` follows the bootstrap tokens alone."""

    name = "token-cleaner"
    workers = 1

    def __init__(self, client: Client, secrets: Cache, now: Now) -> None:
        self._client = client
        self._secrets = secrets
        self._now = now
        self.caches = (secrets,)
        self.queue: Queue[Key] = Queue()
        secrets.subscribe(self._changed)

    async def reconcile(self, key: Key) -> Again | None:
        secret = self._secrets.get(key)
        end = expiry_of(secret) if secret is not None and key[0] == "kube-system" else None
        if secret is None or end is None:
            return None
        seconds = (end - self._now()).total_seconds()
        if seconds > 0:
            return Again(min(seconds, LONGEST))
        try:
            await self._client.delete("v1/secrets", *key, uid=secret["metadata"]["uid"])
        except Failure as failure:
            if failure.reason != "NotFound":
                raise
        return None

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(key)


def last_of(event: Object) -> datetime.datetime:
    """When an event last happened, of either API."""
    series = event.get("series") or {}
    times = (
        event["metadata"].get("creationTimestamp"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        series.get("lastObservedTime"),
    )
    found = [moment for moment in map(_moment, times) if moment is not None]
    return max(found, default=datetime.datetime.fromtimestamp(0, datetime.UTC))


def expiry_of(secret: Object) -> datetime.datetime | None:
    """Until when a bootstrap token is good; None: for ever. One that cannot be read is over."""
    data = (secret.get("data") or {}).get("expiration")
    if not data:
        return None
    try:
        text = base64.b64decode(data).decode()
    except ValueError:
        text = "?"
    return _moment(text) or datetime.datetime.fromtimestamp(0, datetime.UTC)


def _moment(text: str | None) -> datetime.datetime | None:
    try:
        return moment(text) if text else None
    except ValueError:
        return None
