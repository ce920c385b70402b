"""Delete trees in a thread: small ones here, big ones by the system's `rm`, so that the interpreter stays free."""

import os
import shutil
from pathlib import Path

from boxship.sys.spawn import SAFE_ENVIRONMENT, reap, spawn

_SMALL_FILES = 256


def remove_path(path: Path) -> bool:
    """Delete a file or a tree, no link followed, no other filesystem entered; whether nothing is left of it.

    Blocks. What resists stays, and the next recovery tries again.
    """
    if not _is_small(path):
        pid = spawn(["rm", "-rf", "--one-file-system", "--", str(path)], env=SAFE_ENVIRONMENT)
        reap(pid)
    else:
        shutil.rmtree(path, ignore_errors=True)
    return not os.path.lexists(path)


def _is_small(path: Path) -> bool:
    """Whether the tree has few files; stops counting as soon as it has many."""
    count = 0
    pending = [str(path)]
    try:
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > _SMALL_FILES:
                        return False
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
    except OSError:
        return False
    return True
