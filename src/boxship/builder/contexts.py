"""Build contexts that clients send: an archive is unpacked in a folder of its own, which lasts as long as its build.

The unpacking is done by the child program that is confined to that folder. What a crash left is removed at the next
start. A context that is read where the client has it never comes through here.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from boxship.builder.operations import FolderTree
from boxship.errors import Timeout
from boxship.snapshots import archive
from boxship.snapshots.removal import remove_path
from boxship.sys.spreading import spread_subfolders
from boxship.waiting import to_the_end

CONTEXT_BYTES = 64 << 30  # unpacked; more is refused
TRASH = ".trash"
STALL_SECONDS = 300.0  # the next piece of a context has to come within


class Contexts:
    """The folder of all contexts that were sent."""

    def __init__(self, root: Path, *, limit_bytes: int = CONTEXT_BYTES, stall_seconds: float = STALL_SECONDS) -> None:
        self._root = root
        self._trash = root / TRASH
        self._cleaner = ThreadPoolExecutor(1, thread_name_prefix="contexts")
        self._limit = limit_bytes
        self._stall = stall_seconds

    async def recover(self) -> None:
        """Remove what a crash left. Call it before the first build."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        spread_subfolders(self._root)
        for path in self._root.iterdir():
            remove_path(path)
        self._trash.mkdir(exist_ok=True)

    async def close(self) -> None:
        """Finish deleting."""
        await asyncio.to_thread(self._cleaner.shutdown)

    async def receive(self, chunks: AsyncIterator[bytes]) -> FolderTree:
        """Unpack an archive (plain, gzip, bzip2, xz, zstd). Raises Invalid for what is none, for one that is cut off or
        leads outside, and for one that is too long; Timeout where nothing comes. The caller drops the tree."""
        folder = self._root / secrets.token_hex(8)
        folder.mkdir(mode=0o755)
        tree = FolderTree(folder)
        try:
            await archive.put(str(folder), "/", self._watched(chunks), limit_bytes=self._limit)
        except BaseException:
            await to_the_end(self.drop(tree))
            raise
        return tree

    async def _watched(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        source = chunks.__aiter__()
        while True:
            try:
                async with asyncio.timeout(self._stall):
                    chunk = await anext(source)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise Timeout(f"cannot read the build context: nothing came for {self._stall:g} s") from None
            yield chunk

    async def drop(self, tree: FolderTree) -> None:
        """Take away a context that came by `receive`: at once from its place, then deleted in the background, because
        nobody needs to wait for that. May be called twice."""
        gone = self._trash / tree.path.name
        with contextlib.suppress(FileNotFoundError):
            os.rename(tree.path, gone)
            self._cleaner.submit(remove_path, gone)
