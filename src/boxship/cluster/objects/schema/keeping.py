"""Files that may be deleted at any time: what is in them can be made again. A file counts only with the key that it was
written with, and only whole; a folder that cannot be written only costs time.
"""

import contextlib
import hashlib
import os
from pathlib import Path

DIGEST_SIZE = 16  # bytes


def read_kept(path: Path, key: bytes) -> bytes | None:
    """What was kept under this key, or None."""
    try:
        found, _, rest = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    digest, payload = rest[:DIGEST_SIZE], rest[DIGEST_SIZE:]
    return payload if found == key and digest == _digest(payload) else None


def write_kept(path: Path, key: bytes, payload: bytes) -> bool:
    """All or nothing; several processes may do it at once. Whether it could be written. `key` is one line."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(key + b"\n" + _digest(payload) + payload)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        return False
    return True


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=DIGEST_SIZE).digest()
