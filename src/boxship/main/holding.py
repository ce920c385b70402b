"""One process alone in a folder, for as long as it runs: what both programs do before anything else. The kernel lets go
of the lock when the process ends, however it ends, so there is nothing to clean up."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from boxship.errors import Conflict

LOCK_SECONDS = 2.0  # that a killed process may take until the kernel has taken its last thread away
LOCK_LOOK_SECONDS = 0.01


@contextlib.contextmanager
def alone(root: Path, program: str) -> Iterator[None]:
    """Hold the root's lock. Raises Conflict where another process works there."""
    deadline = time.monotonic() + LOCK_SECONDS
    with (root / "lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Conflict(f"cannot start {program} on {root}: another one works there") from error
                time.sleep(LOCK_LOOK_SECONDS)
        yield
