"""COPY, ADD and WORKDIR: one child program copies into an overlay of its own and writes the archive of what changed."""

from pathlib import Path
from typing import Any

from boxship.builder.execution.keeping import Keeping
from boxship.builder.execution.reading import Reading
from boxship.builder.execution.trees import PROGRAM, Trees, plain_selection
from boxship.builder.operations import (
    CopyOperation,
    CopySource,
    FolderOperation,
    FolderTree,
    LayerTree,
    Selection,
    Tree,
)
from boxship.content import Lease
from boxship.images.model import Layer
from boxship.snapshots.making import Draft, Packed
from boxship.snapshots.overlay import Snapshots
from boxship.snapshots.program import pump_job, run_job


class Writing:
    """Carries out what needs no process."""

    def __init__(self, snapshots: Snapshots, keeping: Keeping, trees: Trees, reading: Reading) -> None:
        self._snapshots = snapshots
        self._keeping = keeping
        self._trees = trees
        self._reading = reading

    async def copy(self, base: LayerTree, operation: CopyOperation, lease: Lease) -> Layer | None:
        """Raises Conflict where a file changed since its checksum, or while it was read."""
        draft = await self._snapshots.draft(base.chain_id)
        trees: list[dict[str, Any]] = []
        sources = [self._source(source, operation.parents, trees) for source in operation.sources]
        accounts = None
        if operation.link and operation.names_owner:
            accounts = len(trees)  # names are looked up in what is below, though the layer does not stand on it
            trees.append(self._trees.describe(base, accounts))
        job = {
            "kind": "copy",
            "what": f"copy to {operation.destination}",
            "root": self._trees.root(draft, bare=operation.link),
            "trees": trees,
            "sources": sources,
            "destination": operation.destination,
            "owner": operation.owner,
            "accounts": accounts,
            "mode": operation.mode,
            "parents": operation.parents,
            "epoch": operation.epoch,
        }
        return await self._keep(draft, job, lease)

    async def folder(self, base: LayerTree, operation: FolderOperation, lease: Lease) -> Layer | None:
        draft = await self._snapshots.draft(base.chain_id)
        job = {
            "kind": "make-folder",
            "what": f"make {operation.path}",
            "root": self._trees.root(draft),
            "path": operation.path,
            "owner": operation.owner,
            "epoch": operation.epoch,
        }
        return await self._keep(draft, job, lease)

    async def fill(self, folder: str, tree: Tree, source: str) -> None:
        """Copy a file or the contents of a folder to the name "content" in an empty folder; no layer is made of it.
        Compared with the checksum of `Selection((source,), wildcards=False)`, where one was asked for."""
        await self._fill(folder, tree, source, "/content")

    async def export(self, tree: LayerTree, folder: Path) -> None:
        """Copy all files of a tree into a folder, with their owners; files of the same names are replaced."""
        await self._fill(str(folder), tree, "", "/")

    async def _fill(self, folder: str, tree: Tree, source: str, destination: str) -> None:
        trees: list[dict[str, Any]] = []
        selection = Selection(paths=(source,), wildcards=False)
        job = {
            "kind": "fill",
            "what": f"copy {source or '/'}",
            "root": {"lower": [], "chain": [], "upper": folder},
            "sources": [self._source(CopySource(tree, selection), False, trees)],
            "trees": trees,
            "destination": destination,
            "owner": "",
            "accounts": None,
            "mode": "",
            "parents": False,
            "epoch": None,
        }
        await run_job(job, program=PROGRAM)

    async def _keep(self, draft: Draft, job: dict[str, Any], lease: Lease) -> Layer | None:
        async def packing(write: Any) -> Packed:
            answer = await pump_job(job, write, program=PROGRAM)
            return Packed(answer["entries"], answer["size"])

        return await self._keeping.keep(draft, packing, lease)

    def _source(self, source: CopySource, parents: bool, trees: list[dict[str, Any]]) -> dict[str, Any]:
        """A source as a job carries it; its tree is added to `trees`."""
        inline = source.inline
        plain: dict[str, Any] = {
            "inline": None if inline is None else (inline.name, inline.content),
            "tree": None,
            "selection": plain_selection(source.selection),
            "unpack": source.unpack,
            "table": None,
            "expected": "",
        }
        if source.tree is not None and inline is None:
            described = self._trees.describe(source.tree, len(trees))
            plain["tree"] = len(trees)
            trees.append(described)
            if isinstance(source.tree, FolderTree):
                plain["table"] = self._reading.table(source.tree)
                plain["expected"] = self._reading.expected(source, parents=parents)
        return plain
