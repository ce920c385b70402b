"""Servers and questions inside namespaces, for the network tests: a server says its name and the asker's address."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from boxship.sys import namespace

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


async def inside(where: str | Path | None, work: Any) -> Any:
    """Run blocking work in a namespace; None is the test's host."""
    if where is None:
        return await asyncio.to_thread(work)
    return await asyncio.to_thread(namespace.run_inside, Path(where), work)


@contextlib.asynccontextmanager
async def serve(where: str | Path | None, protocol: str, address: str, port: int, name: str) -> AsyncIterator[None]:
    """Answer at an address of a namespace with the server's name and the address that it sees."""

    def listen() -> socket.socket:
        made = socket.socket(socket.AF_INET, KINDS[protocol])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        if protocol == "tcp":
            made.listen()
        made.setblocking(False)
        return made

    server = await inside(where, listen)
    task = asyncio.create_task(_answer(server, protocol, name))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()


async def _answer(server: socket.socket, protocol: str, name: str) -> None:
    loop = asyncio.get_running_loop()
    while True:
        if protocol == "udp":
            _, peer = await loop.sock_recvfrom(server, 2048)
            await loop.sock_sendto(server, f"{name} {peer[0]}".encode(), peer)
        else:
            connection, peer = await loop.sock_accept(server)
            with connection:
                await loop.sock_sendall(connection, f"{name} {peer[0]}".encode())


async def ask(where: str | Path | None, protocol: str, address: str, port: int, timeout: float = 3) -> str:
    """What the server there says to a client in this namespace."""

    def talk() -> str:
        with socket.socket(socket.AF_INET, KINDS[protocol]) as client:
            client.settimeout(timeout)
            client.connect((address, port))
            if protocol == "udp":
                client.send(b"who?")
            return client.recv(2048).decode()

    return await inside(where, talk)
