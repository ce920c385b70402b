"""Locks by name, held by clients as long as they stay: one at a time works on a project, the others wait in turn.

They live in this daemon's memory alone, because a hold is a connection to it: when it ends, every connection has ended.
That is why they are here and not with the door, which keeps nothing between requests. No client's end may leave a lock
held, and nobody who came later may be first.
"""

import asyncio
import re
import time
from collections import deque
from datetime import UTC, datetime

from boxship.errors import Conflict, Exhausted, Invalid
from boxship.spec.duration import SECOND

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
OWNER_LIMIT = 256  # characters
QUEUE_LIMIT = 256  # clients that hold or wait for one lock


class Ticket:
    """One client's place in a lock's queue; the first one holds it."""

    def __init__(self, name: str, owner: str) -> None:
        self.name = name
        self.owner = owner
        self.since = 0  # when it got the lock, nanoseconds since the epoch
        self.held = asyncio.Event()


class Locks:
    """All locks of a daemon."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Ticket]] = {}

    def ask(self, name: str, owner: str, *, wait: bool) -> Ticket:
        """A place in the lock's queue: first, or behind the others where one may `wait`. Give it back with `leave`.

        Raises Invalid for a name that cannot be, Conflict where another has it, Exhausted where too many wait.
        """
        if not NAME.fullmatch(name):
            raise Invalid(f"invalid lock name {name!r}: only letters, digits, '_', '.' and '-', 128 at most")
        if not owner.isprintable() or len(owner) > OWNER_LIMIT:
            raise Invalid(f"invalid value for query parameter owner: not {OWNER_LIMIT} printable characters at most")
        queue = self._queues.get(name, deque())
        if queue and not wait:
            since = datetime.fromtimestamp(queue[0].since // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            raise Conflict(f"{name} is locked by {queue[0].owner} since {since}")
        if len(queue) >= QUEUE_LIMIT:
            raise Exhausted(f"cannot lock {name}: {QUEUE_LIMIT} clients wait for it")
        ticket = Ticket(name, owner or "somebody")
        queue.append(ticket)
        self._queues[name] = queue
        self._give(queue)
        return ticket

    def holder(self, name: str) -> Ticket | None:
        """Who holds a lock."""
        queue = self._queues.get(name)
        return queue[0] if queue else None

    def leave(self, ticket: Ticket) -> None:
        """Give the lock or the place in its queue back; twice is fine."""
        queue = self._queues.get(ticket.name, deque())
        if ticket not in queue:
            return
        queue.remove(ticket)
        if queue:
            self._give(queue)
        else:
            del self._queues[ticket.name]

    def _give(self, queue: deque[Ticket]) -> None:
        first = queue[0]
        if not first.held.is_set():
            first.since = time.time_ns()
            first.held.set()
