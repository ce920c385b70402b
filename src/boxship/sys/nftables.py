"""nftables in process, through libnftables: one text of commands is one transaction of the kernel, all or nothing.

A context belongs to the namespace of the thread that makes it and to one user at a time. Nothing here knows a rule.
"""

import ctypes
from typing import Any

import msgspec

from boxship.errors import Internal, Unavailable

LIBRARY = "libnftables.so.1"
JSON_OUTPUT = 1 << 4
TERSE = 1 << 11  # sets without their elements
NUMERIC = 0x3F0  # every numeric flag: protocols, ports, users and priorities as numbers


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Unavailable(f"cannot use nftables: {error} (Debian: apt-get install libnftables1)") from None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = (ctypes.c_uint32,)
    library.nft_ctx_free.argtypes = (ctypes.c_void_p,)
    library.nft_ctx_buffer_output.argtypes = (ctypes.c_void_p,)
    library.nft_ctx_buffer_error.argtypes = (ctypes.c_void_p,)
    library.nft_ctx_output_set_flags.argtypes = (ctypes.c_void_p, ctypes.c_uint)
    library.nft_ctx_get_output_buffer.argtypes = (ctypes.c_void_p,)
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_error_buffer.argtypes = (ctypes.c_void_p,)
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    return library


class Nftables:
    """A context of libnftables in the namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._library = _load()
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise Internal("cannot use nftables: no context")
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def close(self) -> None:
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None

    def _run(self, commands: str) -> str:
        failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        output = self._library.nft_ctx_get_output_buffer(self._context) or b""
        problem = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            lines = problem.decode(errors="replace").strip().splitlines()
            raise Internal(f"cannot change nftables rules: {' '.join(lines[:2]) or 'unknown failure'}")
        return str(output.decode(errors="replace"))

    def run(self, commands: str) -> None:
        """Apply the commands (nft(8) syntax) as one transaction; Internal with nft's own words where it fails."""
        if commands:
            self._run(commands)

    def query(self, command: str, *, terse: bool = False) -> list[dict[str, Any]]:
        """A listing as libnftables-json(5) objects; a terse one leaves out what sets hold."""
        flags = JSON_OUTPUT | NUMERIC | (TERSE if terse else 0)
        self._library.nft_ctx_output_set_flags(self._context, flags)
        try:
            text = self._run(command)
        finally:
            self._library.nft_ctx_output_set_flags(self._context, 0)
        found: list[dict[str, Any]] = msgspec.json.decode(text)["nftables"] if text else []
        return found
