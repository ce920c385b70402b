"""What several instances on one machine tell each other of their pods' users: nobody takes ids that another has.

Each holds a lock of the kernel's for each of its ranges, on the bytes of one file that stand for the ids. So a claim
ends with its instance, whatever becomes of it, and nothing has to be tidied away; while an instance is away its ranges
are not guarded. The file is empty and stays. It must never keep an instance from starting: without it nothing is known.
"""

import fcntl
import logging
import os
import struct
from pathlib import Path

from boxship.spec.users import COUNT

log = logging.getLogger(__name__)

PLACE = Path("/run/boxship-pod-users.lock")
LOCK = "hhqqi4x"  # struct flock: kind, whence, start, length, process


class Claims:
    """One for an instance, for as long as its process lives."""

    def __init__(self, place: Path = PLACE) -> None:
        self._place = place
        self._descriptor = -1

    def take(self, first: int) -> bool:
        """Whether no other instance has the range that begins there; then it is ours."""
        try:
            self._lock(fcntl.F_WRLCK, first)
        except BlockingIOError:
            return False
        except OSError as error:
            log.warning("cannot tell other instances of the ids from %d on: %s", first, error)
        return True

    def give_back(self, first: int) -> None:
        try:
            self._lock(fcntl.F_UNLCK, first)
        except OSError as error:
            log.warning("cannot tell other instances that the ids from %d on are free: %s", first, error)

    def close(self) -> None:
        """All of them; for one that ends before its process does."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self, kind: int, first: int) -> None:
        if self._descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._place, flags, 0o600)
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, struct.pack(LOCK, kind, os.SEEK_SET, first, COUNT, 0))
