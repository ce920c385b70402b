"""One command over a unix socket that answers and closes, as haproxy's does; and whether a TCP port is free."""

import asyncio
import socket
from pathlib import Path

from boxship.errors import Unavailable

ANSWER_SECONDS = 5.0
ANSWER_BYTES = 4 * 1024 * 1024


async def command(path: Path, text: str) -> str:
    """The answer. Raises Unavailable."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=ANSWER_BYTES)
            try:
                writer.write(text.encode() + b"\n")
                await writer.drain()
                return (await reader.read(-1)).decode(errors="replace")
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"cannot command {path}: {error or 'it does not answer'}") from error


def is_free(host: str, port: int) -> bool:
    """Whether somebody could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
        return True
