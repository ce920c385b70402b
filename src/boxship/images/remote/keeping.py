"""What a pull has fetched stays for a day although no image has it yet: a pull that is repeated, also after a crash,
goes on where the first one ended. Each such blob has a durable record, and is claimed as long as it has."""

import asyncio
import logging
import time
from collections.abc import Iterable

from boxship.content import Content, Garbage
from boxship.errors import BoxshipError

PREFIX = "transfers/kept/"
KEPT_SECONDS = 24 * 3600
LOOK_SECONDS = 3600.0

log = logging.getLogger(__name__)


class Keeper:
    """Belongs to the loop. `recover` comes before the sweep."""

    def __init__(self, content: Content, garbage: Garbage) -> None:
        self._content = content
        self._garbage = garbage
        self._since: dict[str, int] = {}
        self._changing = asyncio.Lock()

    async def recover(self) -> None:
        """Claim what is kept and here."""
        for key, value in (await self._content.references.load((PREFIX,))).items():
            digest = key.removeprefix(PREFIX)
            self._since[digest] = int(value)
            self._garbage.claim((digest,))
        await self.expire()

    async def run(self) -> None:
        """One task for as long as the daemon lives: what nobody came back for goes also where nothing is pulled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.expire()
            except BoxshipError as error:
                log.warning("cannot let go of what unfinished pulls left: %s", error)

    async def expire(self) -> None:
        """Let go of what nobody came back for."""
        before = time.time_ns() - KEPT_SECONDS * 10**9
        await self.drop([digest for digest, since in self._since.items() if since < before])

    async def keep(self, digest: str) -> None:
        """Keep a blob that is leased by the caller."""
        async with self._changing:
            if digest in self._since:
                return
            now = time.time_ns()
            await self._content.references.change({PREFIX + digest: str(now).encode()})
            self._since[digest] = now
            self._garbage.claim((digest,))

    async def drop(self, digests: Iterable[str]) -> None:
        """Let go: an image claims them now, or they are of no use."""
        async with self._changing:
            gone = [digest for digest in dict.fromkeys(digests) if digest in self._since]
            if gone:
                await self._content.references.change({PREFIX + digest: None for digest in gone})
                for digest in gone:
                    del self._since[digest]
                self._garbage.release(gone)
