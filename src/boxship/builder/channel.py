"""Events on their way from a build to whoever reads them. A reader that is slow never makes the daemon grow: pieces of
an archive wait for it, and a step's output beyond a limit is left out, which is said once."""

import asyncio
from collections import deque

from boxship.builder.model import BuildEvent, OutputData, StepOutput

UNREAD_BYTES = 16 << 20  # of steps' output
UNREAD_PIECES = 4  # of archives
CLIPPED = b"\n[output clipped: it was not read]\n"
STDERR = 2


class Channel:
    """One build's events, in order. Belongs to the loop; one reader."""

    def __init__(self) -> None:
        self._events: deque[BuildEvent] = deque()
        self._news = asyncio.Event()
        self._read = asyncio.Event()
        self._unread_bytes = 0
        self._pieces = 0
        self._clipped: set[str] = set()
        self._ended = False

    def tell(self, event: BuildEvent) -> None:
        """Add an event."""
        if isinstance(event, StepOutput):
            if self._unread_bytes > UNREAD_BYTES:
                if event.step in self._clipped:
                    return
                self._clipped.add(event.step)
                event = StepOutput(event.step, STDERR, CLIPPED)
            else:
                self._clipped.discard(event.step)
            self._unread_bytes += len(event.data)
        elif isinstance(event, OutputData):
            self._pieces += 1
        self._events.append(event)
        self._news.set()

    async def send(self, event: OutputData) -> None:
        """Add a piece of an archive, once the reader has taken those before."""
        while self._pieces >= UNREAD_PIECES:
            self._read.clear()
            await self._read.wait()
        self.tell(event)

    def end(self) -> None:
        """No more events come."""
        self._ended = True
        self._news.set()

    async def read(self) -> BuildEvent | None:
        """The next event; None at the end."""
        while not self._events:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        event = self._events.popleft()
        if isinstance(event, StepOutput):
            self._unread_bytes -= len(event.data)
        elif isinstance(event, OutputData):
            self._pieces -= 1
            self._read.set()
        return event
