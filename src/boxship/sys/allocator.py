"""How the C library keeps memory that was freed. It must never fail where another C library is at work."""

import contextlib
import ctypes

M_MMAP_THRESHOLD = -3  # malloc.h
LARGE_BLOCK = 128 * 1024  # bytes from which on a block is mapped by itself


def give_back_memory() -> None:
    """Let glibc return large blocks to the machine when they are freed. By itself it soon keeps them in a heap that
    never shrinks: 200 clients that listed 5,000 pods at once left 3 GB behind."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
