"""A plain TCP connection to a server. Whoever opens one closes its writer."""

import asyncio

from boxship.errors import Unavailable


async def dial(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises Unavailable where nobody answers; how long is waited is the caller's to limit."""
    try:
        return await asyncio.open_connection(host, port)
    except OSError as error:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        reason = {111: "connect: connection refused", 113: "connect: no route to host"}.get(
            error.errno or 0, str(error)
        )
        raise Unavailable(f"dial tcp {where}: {reason}") from error
