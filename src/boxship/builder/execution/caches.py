"""Folders of `RUN --mount=type=cache`: durable, by identifier, shared, private or locked; listed and pruned by people.

Each lies in a folder of its own: `content` is what is mounted, `cache.json` says what it is. A cache may be lost at any
time; a build must not depend on it.
"""

import asyncio
import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from boxship.errors import Conflict, Invalid, NotFound
from boxship.snapshots.program import measure
from boxship.snapshots.removal import remove_path
from boxship.sys.spreading import spread_subfolders

SHARINGS = ("shared", "private", "locked")
TRASH = ".trash"
SLOTS = 64  # caches of one identifier that are private at a time


class CacheVolume(msgspec.Struct, frozen=True, kw_only=True):
    """One cache as people see it. Times in nanoseconds; `size` in bytes on the device."""

    id: str
    identifier: str
    created: int
    used: int
    uses: int = 0
    size: int = 0
    in_use: bool = False


class Taken(msgspec.Struct, frozen=True):
    """A cache that a step uses: give it back with `release`."""

    id: str
    path: Path
    sharing: str


class Caches:
    """All caches of one builder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._trash = root / TRASH
        self._users: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}
        self._making: dict[str, asyncio.Lock] = {}

    async def recover(self) -> None:
        """Take back what a crash left half-made or half-removed."""
        await asyncio.to_thread(self._recover)

    def _recover(self) -> None:
        self._trash.mkdir(parents=True, exist_ok=True, mode=0o700)
        spread_subfolders(self._root)
        for entry in os.scandir(self._root):
            if entry.name != TRASH and not os.path.exists(f"{entry.path}/cache.json"):
                shutil.rmtree(entry.path, ignore_errors=True)
        for entry in os.scandir(self._trash):
            remove_path(Path(entry.path))

    async def take(
        self, identifier: str, sharing: str, fill: Callable[[Path], Awaitable[None]], *, scope: str = ""
    ) -> Taken:
        """A cache for one step; `fill` is called with the empty folder of a new one. `scope` tells apart what begins
        with different files. Waits where it is locked."""
        if sharing not in SHARINGS:
            raise Invalid(f"cannot use cache {identifier}: sharing is {sharing}, not one of {', '.join(SHARINGS)}")
        name = hashlib.sha256(f"{identifier}\0{scope}".encode("utf-8", "surrogateescape")).hexdigest()[:24]
        if sharing == "locked":
            lock = self._locks.setdefault(name, asyncio.Lock())
            await lock.acquire()
        try:
            if sharing == "private":
                name = self._free(name, identifier)
            self._users[name] += 1
            try:
                async with self._making.setdefault(name, asyncio.Lock()):
                    await self._make(name, identifier, fill)
            except BaseException:
                self._leave(name)
                raise
        except BaseException:
            if sharing == "locked":
                lock.release()
            raise
        return Taken(name, self._root / name / "content", sharing)

    def _free(self, name: str, identifier: str) -> str:
        for number in range(SLOTS):
            slot = f"{name}-{number}" if number else name
            if not self._users.get(slot):
                return slot
        raise Conflict(f"cannot use cache {identifier}: {SLOTS} steps have one of their own already")

    async def _make(self, name: str, identifier: str, fill: Callable[[Path], Awaitable[None]]) -> None:
        folder = self._root / name
        now = time.time_ns()
        known = await asyncio.to_thread(_read, folder)
        if known is None:
            await asyncio.to_thread(self._begin, folder)
            await fill(folder)
            known = CacheVolume(id=name, identifier=identifier, created=now, used=now)
        record = msgspec.structs.replace(known, used=now, uses=known.uses + 1)
        await asyncio.to_thread(_write, folder, record)

    @staticmethod
    def _begin(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)

    def release(self, taken: Taken) -> None:
        """The step is over."""
        self._leave(taken.id)
        if taken.sharing == "locked":
            self._locks[taken.id].release()

    def _leave(self, name: str) -> None:
        self._users[name] -= 1
        if not self._users[name]:
            del self._users[name]

    async def list(self, *, sizes: bool = True) -> tuple[CacheVolume, ...]:
        """All caches, the most recently used first. Sizes are counted by a child program."""
        found = await asyncio.to_thread(self._records)
        paths = [str(self._root / record.id / "content") for record in found] if sizes else []
        counted = await measure(paths, "measure caches")
        known = {record.id: size for record, (size, _) in zip(found, counted, strict=False)}
        return tuple(
            msgspec.structs.replace(record, size=known.get(record.id, 0), in_use=bool(self._users.get(record.id)))
            for record in found
        )

    def _records(self) -> Sequence[CacheVolume]:
        found = [_read(Path(entry.path)) for entry in os.scandir(self._root) if entry.name != TRASH]
        return sorted([record for record in found if record], key=lambda cache: cache.used, reverse=True)

    async def remove(self, name: str) -> int:
        """Remove a cache; bytes that this frees. Conflict while a step uses it, NotFound where there is none."""
        if not name or "/" in name or name.startswith("."):
            raise NotFound(f"cannot remove cache {name}: there is none")
        if self._users.get(name):
            raise Conflict(f"cannot remove cache {name}: a build uses it")
        path = self._root / name
        ((size, _),) = await measure([str(path / "content")], f"measure cache {name}")
        if self._users.get(name):
            raise Conflict(f"cannot remove cache {name}: a build uses it")
        gone = self._trash / f"{name}.{time.time_ns()}"
        try:
            os.rename(path, gone)
        except FileNotFoundError:
            raise NotFound(f"cannot remove cache {name}: there is none") from None
        await asyncio.to_thread(remove_path, gone)
        return size


def _read(folder: Path) -> CacheVolume | None:
    try:
        return msgspec.json.decode((folder / "cache.json").read_bytes(), type=CacheVolume)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(folder: Path, record: CacheVolume) -> None:
    staged = folder / "cache.new"
    staged.write_bytes(msgspec.json.encode(record))
    staged.rename(folder / "cache.json")
