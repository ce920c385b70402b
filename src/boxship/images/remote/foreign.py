"""Layers that lie elsewhere than in a registry: at addresses that the manifest itself names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from boxship.images.remote.client import Remote
from boxship.transport.client import Answer


class ForeignAddress:
    """One address of one blob. Nobody's credentials go there."""

    def __init__(self, remote: Remote, url: str) -> None:
        self._remote = remote
        self._url = url

    @asynccontextmanager
    async def blob(self, digest: str, start: int = 0) -> AsyncIterator[tuple[Answer, int]]:
        """Its bytes from `start`, or from 0 where the server cannot."""
        async with self._remote.stranger(self._url, start) as answer:
            yield answer, start if answer.status == 206 else 0
