"""How often, and after which pause, something is tried again. The only place that knows."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from boxship.errors import BoxshipError, Timeout, Unavailable
from boxship.images.remote.failures import Busy
from boxship.images.remote.model import RemoteLimits
from boxship.transport.client import NotTls, Refused

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
TRANSIENT = (Unavailable, Timeout)
FINAL = (NotTls,)
REFUSED_ATTEMPTS = 2  # nobody listens: once more, in case it just restarts


class Retries:
    """The tries of one request. `failed` either waits for the next try or raises the error."""

    def __init__(self, limits: RemoteLimits, sleep: Sleep = asyncio.sleep) -> None:
        self._limits = limits
        self._sleep = sleep
        self._tries = 0
        self._resumed = 0
        self._waited = 0.0

    def progressed(self) -> None:
        """The last try brought something: the count begins again, though not for ever."""
        if self._resumed < self._limits.resumptions:
            self._resumed += 1
            self._tries = 0

    async def failed(self, error: BoxshipError, *, progress: bool = False) -> None:
        """After a failed try; `progress` says that it brought something, so that the count begins again."""
        limits = self._limits
        if not isinstance(error, TRANSIENT) or isinstance(error, FINAL):
            raise error
        if progress:
            self.progressed()
        self._tries += 1
        if self._tries >= (REFUSED_ATTEMPTS if isinstance(error, Refused) else limits.attempts):
            raise error
        pause = min(limits.longest_pause, limits.first_pause * 2 ** (self._tries - 1)) * random.uniform(0.5, 1.0)
        if isinstance(error, Busy) and error.seconds is not None:
            if error.seconds > limits.longest_retry_after:
                raise error
            pause = max(pause, error.seconds)
        if self._waited + pause > limits.patience:
            raise error
        self._waited += pause
        await self._sleep(pause)


async def retried(attempt: Callable[[], Awaitable[T]], limits: RemoteLimits, sleep: Sleep = asyncio.sleep) -> T:
    """The result of `attempt`, tried again while the error may pass."""
    retries = Retries(limits, sleep)
    while True:
        try:
            return await attempt()
        except TRANSIENT as error:
            await retries.failed(error)
