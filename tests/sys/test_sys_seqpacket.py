"""Message sockets below paths of any length."""

import asyncio
import socket
from pathlib import Path

import pytest

from boxship.errors import Unavailable
from boxship.sys.seqpacket import SeqpacketConnection, connect


def listen(folder: Path) -> socket.socket:
    import os

    folder.mkdir(parents=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    descriptor = os.open(folder, os.O_PATH)
    server.bind(f"/proc/self/fd/{descriptor}/attach")
    os.close(descriptor)
    server.listen()
    return server


async def pair(tmp_path: Path) -> tuple[SeqpacketConnection, socket.socket]:
    folder = tmp_path / ("deep" * 30)
    with listen(folder) as server:
        client = connect(folder / "attach")
        peer, _ = server.accept()
    return client, peer


async def test_messages_stay_whole(tmp_path: Path) -> None:
    client, peer = await pair(tmp_path)
    peer.send(b"one")
    peer.send(b"two")
    assert await client.receive(100) == b"one"
    assert await client.receive(100) == b"two"
    assert await client.send(b"three")
    assert peer.recv(100) == b"three"
    client.end_sending()
    assert peer.recv(100) == b""
    peer.send(b"late")
    assert await client.receive(100) == b"late"
    peer.close()
    assert await client.receive(100) == b""
    assert not await client.send(b"x")
    client.close()
    client.close()
    assert await client.receive(100) == b""


async def test_a_full_socket_makes_the_sender_wait(tmp_path: Path) -> None:
    client, peer = await pair(tmp_path)

    async def send() -> None:
        for _ in range(400):
            assert await client.send(b"x" * 4096)

    task = asyncio.create_task(send())
    await asyncio.sleep(0.02)
    assert not task.done()
    received = 0
    while received < 400:
        received += len(await asyncio.to_thread(peer.recv, 5000)) // 4096
    await asyncio.wait_for(task, 20)
    client.close()
    peer.close()


async def test_close_and_abandon_wake_a_reader(tmp_path: Path) -> None:
    for number, end in enumerate((SeqpacketConnection.close, SeqpacketConnection.abandon)):
        client, peer = await pair(tmp_path / str(number))
        task = asyncio.create_task(client.receive(10))
        await asyncio.sleep(0)
        end(client)
        assert await asyncio.wait_for(task, 20) == b""
        peer.close()


async def test_an_abandoned_connection_drops_what_comes_until_the_peer_ends(tmp_path: Path) -> None:
    client, peer = await pair(tmp_path)
    client.abandon()
    for _ in range(1000):  # more than the socket holds
        await asyncio.to_thread(peer.send, b"x" * 4096)
    descriptor = client._socket
    assert descriptor.fileno() >= 0
    peer.close()
    async with asyncio.timeout(5):
        while descriptor.fileno() >= 0:
            await asyncio.sleep(0.005)


async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot connect"):
        connect(tmp_path / "attach")
    with pytest.raises(Unavailable):
        connect(tmp_path / "no" / "attach")


async def test_what_a_peer_said_last_is_heard_though_it_left_messages_unread(tmp_path: Path) -> None:
    client, peer = await pair(tmp_path)
    assert await client.send(b"never read")
    peer.send(b"the")
    peer.send(b"end")
    peer.close()
    assert [await client.receive(100) for _ in range(3)] == [b"the", b"end", b""]
    assert not await client.send(b"x")
    client.close()
