"""Long work in turns: whoever walks thousands of objects lets everybody else on the loop go on in between."""

import asyncio
import time

TURN = 0.0005  # seconds of work without a break
OTHERS = 4  # turns of the loop that others have then: a request needs several, and would wait for our work in each


class Pace:
    """Says when it is time for a break, by the clock: objects are of all sizes."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + TURN

    @property
    def due(self) -> bool:
        return time.perf_counter() > self._until

    async def rest(self) -> None:
        """Let the others go on."""
        await rest()
        self._until = time.perf_counter() + TURN


async def rest() -> None:
    """A break, for what is no series of its own."""
    for _ in range(OTHERS):
        await asyncio.sleep(0)
