"""A store by its name: "sqlite:PATH", "etcd:URL,URL…" or "memory:".

What a kind needs is imported when it is asked for, so nobody loads etcd's client for nothing.
"""

from pathlib import Path

from boxship.errors import Invalid
from boxship.store import Store
from boxship.store.backup import restore_etcd, restore_sqlite
from boxship.store.files import Files

BACKUP_BYTES = 256 << 20  # larger SQLite files are not copied at each start
HISTORY_LIMIT = 1_000_000  # commits, where history is kept by age; a bound on the disk, not a promise


def parse(text: str) -> tuple[str, str]:
    """The kind, and where. Raises Invalid."""
    kind, colon, place = text.partition(":")
    if not colon or kind not in ("sqlite", "etcd", "memory") or bool(place) == (kind == "memory"):
        raise Invalid(f"cannot use the store {text!r}: write sqlite:PATH, etcd:URL,URL… or memory:")
    return kind, place


async def open_store(
    text: str, *, history_seconds: float | None = None, files: Files | None = None, unfinished: bool = False
) -> Store:
    """Open it; a SQLite file is made where there is none. History that is older than `history_seconds` is taken away.
    With `unfinished` also where a restore was not finished. Raises Invalid, Unavailable, Exhausted."""
    kind, place = parse(text)
    if kind == "memory":
        from boxship.store.memory import MemoryStore

        return MemoryStore()
    if kind == "sqlite":
        from boxship.store.sqlite import HISTORY_LIMIT as PLAIN_LIMIT
        from boxship.store.sqlite import SqliteStore

        path = Path(place)
        small = not path.exists() or path.stat().st_size <= BACKUP_BYTES
        limit = PLAIN_LIMIT if history_seconds is None else HISTORY_LIMIT
        return await SqliteStore.open(
            path, history_limit=limit, history_seconds=history_seconds, backup=small, reserve=True
        )
    from boxship.store.etcd.store import EtcdStore

    return await EtcdStore.open(place, files=files, history_seconds=history_seconds, unfinished=unfinished)


async def restore_store(backup: Path, text: str, *, files: Files | None = None) -> int:
    """Fill a store that is new out of a backup; how many entries. Raises Invalid, Exists, Unavailable."""
    kind, place = parse(text)
    if kind == "sqlite":
        return await restore_sqlite(backup, Path(place))
    if kind == "etcd":
        return await restore_etcd(backup, place, files)
    raise Invalid("cannot restore into memory: it would be gone at once")
