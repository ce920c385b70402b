"""News of other programs' changes of the packet rules: who flushes them all takes ours away, too.

The kernel tells each transaction's end with the thread that made it; a filter in the kernel keeps all else from us.
"""

import asyncio
import contextlib
import ctypes
import socket
import struct
from pathlib import Path
from typing import Self

from boxship.sys.netlink import attributes

NETFILTER, GROUP = 12, 7  # NFNLGRP_NFTABLES
ADD_MEMBERSHIP = 1
NEW_GENERATION = 10 << 8 | 15  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN
THREAD = 2  # NFTA_GEN_PROC_PID
LOAD_HALF_WORD, IS_EQUAL, RETURN = 0x28, 0x15, 0x06  # classic BPF
NEWS_BYTES = 1 << 14
SETTLING_SECONDS = 0.05


def _only_generations() -> bytes:
    """The filter's program: messages of this type pass."""
    kind = int.from_bytes(struct.pack("H", NEW_GENERATION), "big")
    program = [(LOAD_HALF_WORD, 0, 0, 4), (IS_EQUAL, 0, 1, kind), (RETURN, 0, 0, 0xFFFF), (RETURN, 0, 0, 0)]
    return b"".join(struct.pack("HBBI", *step) for step in program)


class RuleNews:
    """Wakes who waits when somebody else has changed the rules of the opening thread's namespace."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, NETFILTER)
        steps = ctypes.create_string_buffer(_only_generations())
        program = struct.pack("HxxxxxxP", len(steps) // 8, ctypes.addressof(steps))
        self._socket.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER
        self._socket.bind((0, 0))
        self._socket.setsockopt(270, ADD_MEMBERSHIP, GROUP)  # SOL_NETLINK

    async def changed(self) -> None:
        """Returns a moment after the next change by others; several come as one."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # more than the socket holds
            while _is_own(await loop.sock_recv(self._socket, NEWS_BYTES)):
                pass
        await asyncio.sleep(SETTLING_SECONDS)
        with contextlib.suppress(OSError):
            while self._socket.recv(NEWS_BYTES):
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _is_own(data: bytes) -> bool:
    with contextlib.suppress(KeyError, struct.error):
        thread = struct.unpack("!I", dict(attributes(data[20:]))[THREAD])[0]
        return Path(f"/proc/self/task/{thread}").exists()
    return False
