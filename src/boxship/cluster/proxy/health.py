"""What load balancers ask: does this node have endpoints of a service whose external traffic stays on the node? A tiny
HTTP server for each such service, on its health check port; it says 200 or 503 and how many there are."""

import asyncio
import contextlib
import logging

import msgspec

from boxship.cluster.proxy.facts import Key

log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0


def answer(key: Key, local: int) -> bytes:
    """The whole HTTP response."""
    body = msgspec.json.encode(
        {
            "service": {"namespace": key[0], "name": key[1]},
            "localEndpoints": local,
            "serviceProxyHealthy": True,
        }
    )
    status = "200 OK" if local else "503 Service Unavailable"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
        f"X-Load-Balancing-Endpoint-Weight: {local}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class HealthServers:
    """One for each service that asks for it."""

    def __init__(self) -> None:
        self._servers: dict[Key, tuple[int, asyncio.Server]] = {}
        self._local: dict[Key, int] = {}

    async def put(self, key: Key, port: int, local: int) -> None:
        """A service's health port (0: none), and how many endpoints it has here."""
        self._local[key] = local
        known = self._servers.get(key)
        if (known[0] if known else 0) == port:
            if not port:
                del self._local[key]
            return
        if known:
            known[1].close()
            del self._servers[key]
        if not port:
            del self._local[key]
            return

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, ValueError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(answer(key, self._local.get(key, 0)))
                    await writer.drain()
            writer.close()

        try:
            self._servers[key] = (port, await asyncio.start_server(serve, "0.0.0.0", port, limit=1 << 14))
        except OSError as error:
            log.error("cannot answer health checks of service %s/%s at port %d: %s", *key, port, error)

    async def close(self) -> None:
        for _, server in self._servers.values():
            server.close()
        self._servers = {}
