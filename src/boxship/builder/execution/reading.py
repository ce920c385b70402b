"""Checksums of what steps read, single files, and exports.

What a checksum of a folder has read is remembered in a table by the child program; what a checksum of layers gave is
kept for good, for a chain of layers never changes. Checksums of one folder that are asked for together are counted by
one child. All of it is only memory: it may be deleted at any time.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from boxship import errors
from boxship.builder.execution.trees import PROGRAM, Trees, plain_selection
from boxship.builder.operations import CopySource, FolderTree, InlineFile, LayerTree, Tree
from boxship.snapshots.program import pump_job, run_job, stream_job
from boxship.sys.path import open_in_root

TABLES = 64  # folders whose files are remembered
OWN_TABLES = 8  # the same of folders that are gone after their build
TABLE_BYTES = 256 << 20  # of all tables together
OWN = "own-"
PRUNE_SUMS = 256  # checksums of layers after which the oldest are looked for
SUMS = 4096  # checksums of layers that are kept
REMEMBERED = 1024  # checksums of folders that copies are compared with


class _Wanted:
    """One checksum that somebody waits for."""

    def __init__(self, selection: dict[str, Any], parents: bool, lines: bool) -> None:
        self.selection = selection
        self.parents = parents
        self.lines = lines
        self.answer: dict[str, Any] | None = None


class Reading:
    """Reads trees by child programs. `root` is the builder's folder."""

    def __init__(self, root: Path, trees: Trees) -> None:
        self._root = root
        self._scans = root / "scans"
        self._sums = root / "sums"
        self._trees = trees
        self._locks: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()
        self._waiting: dict[tuple[str, ...], list[_Wanted]] = {}
        self._known: OrderedDict[str, str] = OrderedDict()  # checksums of layers
        self._new_sums = 0
        self._counted: OrderedDict[Any, tuple[CopySource, str]] = OrderedDict()  # checksums of folders

    async def recover(self) -> None:
        """Delete what is too much, and what a crash left half-written."""
        await asyncio.to_thread(self._prune)

    def _prune(self) -> None:
        for path in self._scans.glob("*.new"):
            path.unlink(missing_ok=True)
        for path in self._scans.glob(f"{OWN}*"):
            path.unlink(missing_ok=True)
        self._prune_tables()
        _keep_newest(self._sums, "", SUMS, TABLE_BYTES)

    def _prune_tables(self) -> None:
        _keep_newest(self._scans, OWN, OWN_TABLES, TABLE_BYTES // 4)
        _keep_newest(self._scans, "", TABLES, TABLE_BYTES)

    def table(self, tree: FolderTree) -> str:
        """Where the digests of a folder's files are remembered."""
        own = OWN if tree.path.is_relative_to(self._root) else ""
        return str(self._scans / (own + hashlib.sha256(os.fsencode(tree.path)).hexdigest()[:32]))

    def expected(self, source: CopySource, *, parents: bool) -> str:
        """The checksum that was last given out for a source; "" where there is none."""
        for key in _keys(source, parents):
            known = self._counted.get(key)
            if known is not None:
                return known[1]
        return ""

    async def checksum(self, source: CopySource, *, parents: bool) -> str:
        """See `operations.Executor`. Raises NotFound, Invalid, or Conflict for a file that changed meanwhile."""
        if source.tree is None:
            return _inline_digest(source.inline)
        if isinstance(source.tree, FolderTree):
            digest: str = (await self._count(source, parents, lines=False))["digest"]
            for key in _keys(source, parents):
                self._counted[key] = (source, digest)
                self._counted.move_to_end(key)
            while len(self._counted) > REMEMBERED:
                self._counted.popitem(last=False)
            return digest
        name = hashlib.sha256(
            msgspec.json.encode([source.tree.chain_id, plain_selection(source.selection), parents])
        ).hexdigest()
        kept = self._known.get(name) or await asyncio.to_thread(_read_text, self._sums / name)
        if not kept:
            kept = (await self._count(source, parents, lines=False))["digest"]
            await asyncio.to_thread(_write_text, self._sums / name, kept)
            self._new_sums += 1
            if self._new_sums % PRUNE_SUMS == 0:
                await asyncio.to_thread(_keep_newest, self._sums, "", SUMS, TABLE_BYTES)
        self._known[name] = kept
        while len(self._known) > SUMS:
            self._known.popitem(last=False)
        return kept

    async def listing(self, source: CopySource, *, parents: bool) -> dict[str, str]:
        """What `checksum` counts, file by file."""
        if source.tree is None:
            return {source.inline.name if source.inline else "": _inline_digest(source.inline)[7:19]}
        found: dict[str, str] = (await self._count(source, parents, lines=True))["lines"]
        return found

    async def _count(self, source: CopySource, parents: bool, *, lines: bool) -> dict[str, Any]:
        """Count a selection together with what others want of the same tree now."""
        tree = source.tree
        assert tree is not None
        key = (str(tree.path), *tree.patterns) if isinstance(tree, FolderTree) else (tree.chain_id or "",)
        wanted = _Wanted(plain_selection(source.selection), parents, lines)
        self._waiting.setdefault(key, []).append(wanted)
        await asyncio.sleep(0)  # others who are about to ask are taken along
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                if wanted.answer is None:
                    await self._count_all(key, tree)
        finally:
            if wanted.answer is None:
                with contextlib.suppress(ValueError):
                    self._waiting.get(key, []).remove(wanted)
        answer = wanted.answer
        assert answer is not None
        if "error" in answer:
            raise getattr(errors, answer["error"], errors.Internal)(answer["message"])
        return answer

    async def _count_all(self, key: tuple[str, ...], tree: Tree) -> None:
        taken = self._waiting.pop(key)
        table = self.table(tree) if isinstance(tree, FolderTree) else ""
        is_new = bool(table) and not os.path.exists(table)
        self._scans.mkdir(parents=True, exist_ok=True, mode=0o700)
        job = {
            "kind": "checksum",
            "what": "count files",
            "tree": self._trees.describe(tree),
            "table": table,
            "selections": [(wanted.selection, wanted.parents) for wanted in taken],
            "lines": any(wanted.lines for wanted in taken),
        }
        try:
            answers = await run_job(job, program=PROGRAM)
        except errors.BoxshipError as error:
            answers = [{"error": type(error).__name__, "message": str(error)}] * len(taken)
        except BaseException:
            self._waiting.setdefault(key, []).extend(taken)  # the next one counts them
            raise
        for wanted, answer in zip(taken, answers, strict=True):
            wanted.answer = answer
        if is_new:
            await asyncio.to_thread(self._prune_tables)

    async def read(self, tree: Tree, path: str, limit: int) -> bytes:
        """One file of a tree. In a folder where nothing is left out no child is needed."""
        if isinstance(tree, FolderTree) and not tree.patterns:
            return await asyncio.to_thread(_read_in_folder, tree, path, limit)
        gathered = bytearray()
        job = {"kind": "read", "what": f"read {path}", "tree": self._trees.describe(tree), "path": path, "limit": limit}
        await pump_job(job, gathered.extend, program=PROGRAM)
        return bytes(gathered)

    def export(self, tree: LayerTree) -> AsyncIterator[bytes]:
        """The files as a tar stream."""
        described = self._trees.describe(tree)
        options = [f"lowerdir+={path}" for path in described["layers"]]
        job = {
            "kind": "pack-tree",
            "what": "export the files",
            "root": described["view"],
            "layer": False,
            "mounts": [("overlay", "overlay", described["view"], [*options, "index=off", "ro"])],
        }
        return stream_job(job)


def _keys(source: CopySource, parents: bool) -> tuple[Any, ...]:
    """How a source of a folder is remembered: by the very tree of one build, and by what it says."""
    tree = source.tree
    assert isinstance(tree, FolderTree)
    return (id(tree), source.selection, parents), (tree, source.selection, parents)


def _inline_digest(inline: InlineFile | None) -> str:
    assert inline is not None
    name = inline.name.encode("utf-8", "surrogateescape")
    return "sha256:" + hashlib.sha256(b"%d %b %b" % (len(name), name, inline.content)).hexdigest()


def _read_text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write_text(path: Path, text: str) -> None:
    staged = path.with_suffix(".new")
    with contextlib.suppress(OSError):
        staged.write_text(text)
        staged.rename(path)


def _keep_newest(folder: Path, prefix: str, count: int, size: int) -> None:
    """Delete the oldest files of that beginning where there are too many, or too big ones."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.name.startswith(prefix):
                    found.append((entry.stat().st_mtime_ns, entry.stat().st_size, entry.path))
    total = 0
    for number, (_, length, path) in enumerate(sorted(found, reverse=True)):
        total += length
        if number >= count or total > size:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _read_in_folder(tree: FolderTree, path: str, limit: int) -> bytes:
    """A file; the kernel keeps links inside the folder, and what is no regular file is not waited for."""
    named = f"/{path.strip('/')} in the {tree.origin}"
    try:
        root = os.open(tree.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        finally:
            os.close(root)
        with open(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise errors.Invalid(f"cannot read {named}: it is no regular file")
            data = bytearray()
            while len(data) <= limit and (piece := file.read(limit + 1 - len(data))):
                data += piece
    except OSError as error:
        kind = errors.NotFound if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) else errors.Internal
        raise kind(f"cannot find {named}: {error.strerror}") from error
    if len(data) > limit:
        raise errors.Invalid(f"cannot read {named}: it has more than {limit} bytes")
    return bytes(data)
