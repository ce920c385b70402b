"""Our own endpoint for locks: who works on a project holds its lock as long as the connection lasts."""

import asyncio

from boxship.doors.docker.call import Call, rfc3339
from boxship.doors.docker.errors import JSON
from boxship.doors.docker.router import Route
from boxship.engine.locks import Locks, Ticket
from boxship.transport.exchange import Reply
from boxship.wire.ndjson import line

ALIVE_SECONDS = 10  # a blank line as often shows both sides that the other is there


class Held:
    """The reply's body, whose end gives the lock back. No generator: one that was never begun has no end."""

    def __init__(self, locks: Locks, ticket: Ticket) -> None:
        self._locks = locks
        self._ticket = ticket
        self._told_waiting = self._told_held = False

    def __aiter__(self) -> "Held":
        return self

    async def __anext__(self) -> bytes:
        held = self._ticket.held
        if not held.is_set() and not self._told_waiting:
            self._told_waiting = True
            return line(self._waiting())
        if self._told_held:
            await asyncio.sleep(ALIVE_SECONDS)
            return b"\n"
        try:
            async with asyncio.timeout(ALIVE_SECONDS):
                await held.wait()
        except TimeoutError:
            return b"\n"
        self._told_held = True
        return line({"held": True})

    def _waiting(self) -> dict[str, str]:
        holder = self._locks.holder(self._ticket.name)
        return {"waiting": holder.owner, "since": rfc3339(holder.since)} if holder else {"waiting": ""}

    async def aclose(self) -> None:
        self._locks.leave(self._ticket)


async def lock(call: Call) -> Reply:
    """{"held": true} as soon as it is the client's; the lock lasts as long as the connection."""
    locks = call.engine.locks
    ticket = locks.ask(call.id, call.text("owner"), wait=call.flag("wait"))
    return Reply(200, JSON, Held(locks, ticket))


ROUTES = (Route("POST", "/boxship/locks/{id}", lock, query=("owner", "wait")),)
