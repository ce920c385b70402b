"""Damaged blobs, out of sight: nobody finds them among the blobs any more, so that they are brought again.

They stay for whoever wants to look at them, until they are dropped. Nothing here looks whether a blob is damaged.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from boxship.content.ingest import kernel, synchronise
from boxship.spec import digest as digests


class Quarantine:
    """A folder of such blobs; `place` tells where a blob lies otherwise."""

    def __init__(self, folder: Path, place: Callable[[str], Path]) -> None:
        self._folder = folder
        self._place = place

    async def put(self, digest: str) -> None:
        """Move a blob here, durably; one that is not there is fine."""

        def move() -> None:
            place, target = self._place(digest), self._target(digest)
            self._folder.mkdir(exist_ok=True, mode=0o700)
            with kernel(f"cannot put blob {digest} into quarantine"):
                try:
                    os.rename(place, target)
                except FileNotFoundError:
                    return
                synchronise(self._folder)
                synchronise(place.parent)

        await asyncio.to_thread(move)

    async def list(self) -> tuple[str, ...]:
        """The digests of what is here, sorted."""
        names = await asyncio.to_thread(os.listdir, self._folder) if self._folder.is_dir() else []
        return tuple(sorted(name.replace("-", ":", 1) for name in names))

    async def drop(self, digest: str) -> None:
        """Delete one; what is not here is fine."""
        await asyncio.to_thread(self._target(digest).unlink, missing_ok=True)

    def _target(self, digest: str) -> Path:
        return self._folder / digests.validate(digest).replace(":", "-", 1)
