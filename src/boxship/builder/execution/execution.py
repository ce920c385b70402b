"""Carries a build's steps out; see `Execution`."""

from collections.abc import AsyncIterator
from pathlib import Path

from boxship.builder.execution.caches import Caches
from boxship.builder.execution.commands import Commands
from boxship.builder.execution.keeping import Keeping
from boxship.builder.execution.reading import Reading
from boxship.builder.execution.settings import Settings
from boxship.builder.execution.trees import Trees
from boxship.builder.execution.writing import Writing
from boxship.builder.operations import (
    Agents,
    CopyOperation,
    CopySource,
    FolderOperation,
    LayerTree,
    RunOperation,
    Said,
    Tree,
)
from boxship.content import Content, Lease
from boxship.images.model import Layer
from boxship.network.networks import Networks
from boxship.runtime.driver import Driver
from boxship.snapshots.overlay import Snapshots

FOLDERS = ("caches", "scans", "sums", "views")


class Execution:
    """The Executor of `builder.operations`. `root` is the builder's folder under the data root, of which it uses
    `caches`, `scans`, `sums` and `views`; `run_root` is the daemon's. Call `recover` once, after the engine's own
    recovery and before any step."""

    def __init__(
        self,
        root: Path,
        run_root: Path,
        *,
        content: Content,
        snapshots: Snapshots,
        driver: Driver,
        networks: Networks,
        instance: str,
        settings: Settings | None = None,
    ) -> None:
        self._root = root
        trees = Trees(root / "views", snapshots)
        keeping = Keeping(content, snapshots)
        self.caches = Caches(root / "caches")
        self._reading = Reading(root, trees)
        self._writing = Writing(snapshots, keeping, trees, self._reading)
        self._commands = Commands(
            run_root=run_root,
            snapshots=snapshots,
            driver=driver,
            networks=networks,
            instance=instance,
            keeping=keeping,
            writing=self._writing,
            caches=self.caches,
            settings=settings or Settings(),
        )

    async def recover(self) -> None:
        """Make the folders, and take back what a crash left of steps."""
        for name in FOLDERS:
            (self._root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._commands.recover()
        await self._reading.recover()
        await self.caches.recover()

    async def copy(self, base: LayerTree, operation: CopyOperation, lease: Lease) -> Layer | None:
        """COPY or ADD."""
        return await self._writing.copy(base, operation, lease)

    async def folder(self, base: LayerTree, operation: FolderOperation, lease: Lease) -> Layer | None:
        """WORKDIR."""
        return await self._writing.folder(base, operation, lease)

    async def run(
        self, base: LayerTree, operation: RunOperation, said: Said, agents: Agents | None, lease: Lease
    ) -> Layer | None:
        """RUN. A command that changes no file gives None."""
        return await self._commands.run(base, operation, said, agents, lease)

    async def checksum(self, source: CopySource, *, parents: bool) -> str:
        return await self._reading.checksum(source, parents=parents)

    async def listing(self, source: CopySource, *, parents: bool) -> dict[str, str]:
        return await self._reading.listing(source, parents=parents)

    async def read(self, tree: Tree, path: str, limit: int) -> bytes:
        return await self._reading.read(tree, path, limit)

    async def export(self, tree: LayerTree, folder: Path | None) -> AsyncIterator[bytes]:
        if folder is None:
            return self._reading.export(tree)
        await self._writing.export(tree, folder)
        return _nothing()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
