"""Room that the state file keeps for itself, so that a full disk refuses no stop and no removal.

The write-ahead log is made as long as it ever gets, and the file has free pages inside, which SQLite uses before it
asks for more. Both are made again when there is room. Nothing of it changes what is stored, and a failure is no error.
"""

import contextlib
import os
import sqlite3
from pathlib import Path

LOG_BYTES = 4 << 20  # twice what a checkpoint waits for
FREE_BYTES = 4 << 20  # inside the file
TABLE = "reserve"


def keep_log(log: Path) -> None:
    """Make the log long; SQLite takes zeros behind its last frame for the end."""
    with contextlib.suppress(OSError):
        descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if size < LOG_BYTES:
                os.posix_fallocate(descriptor, size, LOG_BYTES - size)
        finally:
            os.close(descriptor)


def keep_pages(connection: sqlite3.Connection) -> None:
    """Bring free pages into the file, where fewer than half are left: write them, see them in the file, free them."""
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if free * page_size * 2 >= FREE_BYTES:
        return
    with contextlib.suppress(sqlite3.Error):
        try:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (filling BLOB)")
            connection.execute(f"INSERT INTO {TABLE} VALUES (zeroblob({FREE_BYTES - free * page_size}))")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
