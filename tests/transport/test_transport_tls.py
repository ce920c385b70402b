"""TCP with mutual TLS: nobody without a certificate, and half-close as `docker run -i` needs it."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from boxship.errors import Invalid
from boxship.pki.authority import create, open_authority
from boxship.pki.context import client_context, server_context
from boxship.pki.names import Subject
from boxship.transport.exchange import Reply, Request
from boxship.transport.listen import TlsAddress
from boxship.transport.server import Server


class Contexts:
    def __init__(self, folder: Path) -> None:
        now = datetime.datetime.now(datetime.UTC)
        create(folder, "test", now)
        authority = open_authority(folder)
        server = authority.issue_server(Subject("server", ("localhost",), ("127.0.0.1",)), now)
        client = authority.issue_client(Subject("client"), now)
        self.server = server_context(server / "cert.pem", server / "key.pem", server / "ca.pem")
        self.client = client_context(client / "cert.pem", client / "key.pem", client / "ca.pem")
        self.stranger = ssl.create_default_context(cafile=server / "ca.pem")


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return Contexts(tmp_path_factory.mktemp("pki"))


class TlsClient:
    """A client that can end its sending alone, as Go's tls.Conn does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self.reader, self.writer = reader, writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    async def step(self) -> None:
        self.writer.write(self.outgoing.read())
        data = await asyncio.wait_for(self.reader.read(65536), 20)
        self.incoming.write(data) if data else self.incoming.write_eof()

    async def handshake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                await self.step()

    def send(self, data: bytes) -> None:
        self.tls.write(data)
        self.writer.write(self.outgoing.read())

    def end_sending(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.writer.write(self.outgoing.read())

    async def read(self) -> bytes:
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                await self.step()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def read_all(self) -> bytes:
        parts = []
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)


async def handler(request: Request) -> Reply | None:
    if request.path == "/big":

        async def big() -> AsyncIterator[bytes]:
            for _ in range(64):
                yield b"x" * 65536

        return Reply(200, {}, big())
    if request.path == "/plain":
        return Reply(200, {"Content-Type": "text/plain"}, await request.body(1 << 20))
    stream = await request.hijack(101, "UPGRADED", {"Connection": "Upgrade", "Upgrade": "tcp"})
    received = b""
    while data := await stream.read():
        received += data
    await stream.write(b"after your end: " + received)
    await stream.close()
    return None


@contextlib.asynccontextmanager
async def serving(contexts: Contexts) -> AsyncIterator[int]:
    server = Server(handler)
    await server.start([TlsAddress("127.0.0.1", 0, contexts.server)])
    try:
        yield server.addresses[0][1]
    finally:
        await server.stop()


async def connect(port: int, context: ssl.SSLContext) -> TlsClient:
    client = TlsClient(*await asyncio.open_connection("127.0.0.1", port), context)
    await client.handshake()
    return client


async def test_output_goes_on_after_the_clients_end(contexts: Contexts) -> None:
    async with serving(contexts) as port:
        client = await connect(port, contexts.client)
        client.send(
            b"POST /attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
        )
        assert (await client.read()).startswith(b"HTTP/1.1 101 UPGRADED\r\n")
        client.send(b"input")
        client.end_sending()
        assert await client.read_all() == b"after your end: input"
        client.writer.close()


async def test_requests_and_long_replies(contexts: Contexts) -> None:
    async with serving(contexts) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=contexts.client, server_hostname="localhost"
        )
        body = b"y" * 300_000
        for _ in range(3):
            writer.write(b"POST /plain HTTP/1.1\r\nHost: d\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(len(body)) == body
        writer.close()
        client = await connect(port, contexts.client)  # uvloop's own client drops the last bytes before an end
        client.send(b"GET /big HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        assert (await client.read_all()).count(b"x") == 64 * 65536
        client.writer.close()


async def test_nobody_enters_without_a_certificate(contexts: Contexts) -> None:
    async with serving(contexts) as port:
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            client = await connect(port, contexts.stranger)
            client.send(b"GET /plain HTTP/1.1\r\nHost: d\r\n\r\n")
            assert await client.read_all()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /plain HTTP/1.1\r\nHost: d\r\n\r\n")
        assert b"200 OK" not in await asyncio.wait_for(reader.read(), 20)
        writer.close()


async def test_a_context_that_asks_for_no_certificate_is_refused(contexts: Contexts) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(Invalid):
        await Server(handler).start([TlsAddress("127.0.0.1", 0, context)])


def test_the_same_on_the_daemons_event_loop(contexts: Contexts) -> None:
    async def scenario() -> None:
        await test_output_goes_on_after_the_clients_end(contexts)
        await test_requests_and_long_replies(contexts)
        await test_nobody_enters_without_a_certificate(contexts)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), 30))


async def test_a_listener_may_leave_the_certificate_to_its_handler(contexts: Contexts) -> None:
    contexts.server.verify_mode = ssl.CERT_OPTIONAL
    seen: list[bytes | None] = []

    async def note(request: Request) -> Reply:
        seen.append(request.certificate)
        return Reply(200, {}, request.peer.encode())

    server = Server(note)
    await server.start([TlsAddress("127.0.0.1", 0, contexts.server, clients=False)])
    try:
        for context in (contexts.client, contexts.stranger):
            client = await connect(server.addresses[0][1], context)
            client.send(b"GET / HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
            assert (await client.read_all()).endswith(b"127.0.0.1")
            client.writer.close()
    finally:
        contexts.server.verify_mode = ssl.CERT_REQUIRED
        await server.stop()
    assert seen[0] is not None and b"client" in seen[0] and seen[1] is None
