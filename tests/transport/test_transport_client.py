"""The HTTP client against real servers: time-outs by name, TLS with authorities of one's own, proxies, bounds."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Invalid, Timeout, Unavailable
from boxship.pki import authority
from boxship.pki.names import subject_for
from boxship.transport.client import (
    HttpClient,
    NotTls,
    Proxies,
    Refused,
    Trust,
    Waits,
    WrongCertificate,
    is_loopback,
)

SHORT = Waits(connect_seconds=2, first_byte_seconds=0.3, stall_seconds=0.3, window_seconds=0.3, slowest_bytes=1000)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    made = HttpClient(waits=SHORT)
    yield made
    await made.close()


async def head_of(reader: asyncio.StreamReader) -> list[str]:
    return (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()


def replying(data: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await head_of(reader)
            writer.write(data)
            await writer.drain()

    return handler


async def test_bodies_stream_both_ways(client: HttpClient) -> None:
    got = bytearray()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await head_of(reader)
        assert "Content-Length: 300000" in head and "Accept-Encoding: identity" in head
        got.extend(await reader.readexactly(300_000))
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n")
        writer.write(b"5\r\nhello\r\n0\r\n\r\n")

    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 100_000

    async with serving(handler) as port:
        headers = {"Content-Length": "300000"}
        async with client.request("PUT", f"http://127.0.0.1:{port}/a?b=c%2Fd", headers=headers, body=body) as answer:
            assert answer.status == 200 and await answer.read(100) == b"hello"
    assert len(got) == 300_000


async def test_redirects_are_the_caller_s_business(client: HttpClient) -> None:
    moved = replying(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")
    async with serving(moved) as port, client.request("GET", f"http://127.0.0.1:{port}/a") as answer:
        assert answer.status == 302 and answer.headers["location"] == "/b"


async def test_connections_are_used_again(client: HttpClient) -> None:
    count = 0
    inner = replying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await inner(reader, writer)

    async with serving(handler) as port:
        for _ in range(5):
            async with client.request("GET", f"http://127.0.0.1:{port}/") as answer:
                assert await answer.read(10) == b"ok"
    assert count == 1


async def test_each_phase_has_its_time_out(client: HttpClient) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await reader.read()

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def not_reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        await asyncio.sleep(5)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000_000

    for handler, text in ((silent, "no answer after 0.3 s"), (stalling, "nothing came"), (dripping, "too few")):
        async with serving(handler) as port:
            with pytest.raises(Timeout, match=text):
                async with client.request("GET", f"http://127.0.0.1:{port}/") as answer:
                    await answer.read(1_000_000)
    quick = HttpClient(waits=Waits(connect_seconds=0.1, first_byte_seconds=0.3, stall_seconds=0.3))
    async with serving(not_reading) as port:
        with pytest.raises(Timeout, match="no answer"):
            async with quick.request("PUT", f"http://127.0.0.1:{port}/", body=endless):
                pass
    await quick.close()


async def test_slow_upload_that_goes_on_is_not_given_up(client: HttpClient) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(30):
            await asyncio.sleep(0.1)
            yield b"x"

    waits = Waits(connect_seconds=0.2, first_byte_seconds=0.5, stall_seconds=0.5)
    patient = HttpClient(waits=waits)
    async with serving(handler) as port, patient.request("PUT", f"http://127.0.0.1:{port}/", body=slow) as answer:
        assert answer.status == 201
    await patient.close()


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"", Unavailable),
        (b"rubbish\r\n\r\n", Unavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Unavailable),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Unavailable),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", Unavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000, Invalid),
    ],
)
async def test_answers_that_are_none(client: HttpClient, sent: bytes, kind: type[Exception]) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(sent)
        await writer.drain()

    async with serving(handler) as port:
        with pytest.raises(kind):
            async with client.request("GET", f"http://127.0.0.1:{port}/") as answer:
                await answer.read(1000)


async def test_nobody_there_and_no_address(client: HttpClient) -> None:
    async with serving(replying(b"")) as port:
        pass
    with pytest.raises(Refused, match=r"dial tcp 127.0.0.1:\d+: connect: connection refused"):
        async with client.request("GET", f"http://127.0.0.1:{port}/"):
            pass
    with pytest.raises(Refused, match="no such host"):
        async with client.request("GET", "http://no-such-host.invalid/"):
            pass
    for wrong in ("ftp://x/", "x", "http://"):
        with pytest.raises(Invalid):
            async with client.request("GET", wrong):
                pass


@pytest.mark.parametrize("place", ["127.0.0.1:1/x?y", "[/", "127.0.0.1:99999/", "[::1", "ftp://"])
async def test_no_error_tells_a_password(client: HttpClient, place: str) -> None:
    for scheme in ("http", "https", "ftp"):
        with pytest.raises((Invalid, Unavailable)) as caught:
            async with client.request("GET", f"{scheme}://me:secret@{place}"):
                pass
        assert "secret" not in str(caught.value)


async def test_connections_per_host_are_bounded() -> None:
    narrow = HttpClient(waits=SHORT, connections_per_host=2)
    most = now = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most, now
        await head_of(reader)
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async def ask(port: int) -> None:
        async with narrow.request("GET", f"http://127.0.0.1:{port}/"):
            pass

    async with serving(handler) as port:
        await asyncio.gather(*(ask(port) for _ in range(10)))
    await narrow.close()
    assert most == 2


# TLS


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Path, Path, Path]:
    """(server, client, authority) folders of one authority."""
    now = datetime.datetime.now(datetime.UTC)
    authority.create(tmp_path / "pki", "Test", now)
    ours = authority.open_authority(tmp_path / "pki")
    server = ours.issue_server(subject_for("registry", ("127.0.0.1", "localhost")), now)
    client = ours.issue_client(subject_for("me", ()), now)
    return server, client, tmp_path / "pki"


def server_side(folder: Path, demand: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    if demand is not None:
        context.load_verify_locations(demand)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_tls_with_an_authority_of_our_own(client: HttpClient, certificates: tuple[Path, Path, Path]) -> None:
    server, mine, _ = certificates
    ca = str(server / "ca.pem")
    async with serving(replying(OK), server_side(server)) as port:
        with pytest.raises(WrongCertificate, match="failed to verify certificate"):
            async with client.request("GET", f"https://127.0.0.1:{port}/"):
                pass
        for trust in (Trust((ca,)), Trust(verify=False)):
            async with client.request("GET", f"https://127.0.0.1:{port}/", trust=trust) as answer:
                assert await answer.read(10) == b"ok"
        with pytest.raises(Invalid, match="cannot use certificate /none"):
            async with client.request("GET", f"https://127.0.0.1:{port}/", trust=Trust(("/none",))):
                pass
    async with serving(replying(OK), server_side(server, mine / "ca.pem")) as port:
        with pytest.raises((Unavailable, WrongCertificate)):
            async with client.request("GET", f"https://127.0.0.1:{port}/", trust=Trust((ca,))) as answer:
                await answer.read(10)
        trust = Trust((ca,), str(mine / "cert.pem"), str(mine / "key.pem"))
        async with client.request("GET", f"https://127.0.0.1:{port}/", trust=trust) as answer:
            assert await answer.read(10) == b"ok"


async def test_server_without_tls_is_told(client: HttpClient) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n")
        await writer.drain()

    async with serving(plain) as port:
        with pytest.raises(NotTls):
            async with client.request("GET", f"https://127.0.0.1:{port}/"):
                pass


# proxies


async def test_plain_and_tls_requests_go_through_the_proxy() -> None:
    seen: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await head_of(reader)
        seen.append(head[0])
        seen.extend(line for line in head if line.lower().startswith("proxy-authorization"))
        writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n" if head[0].startswith("CONNECT") else OK)
        await writer.drain()

    async with serving(proxy) as port:
        address = f"http://ann:se%40cret@127.0.0.1:{port}"
        made = HttpClient(waits=SHORT, proxies=Proxies(address, address, ("*.inside.example",)))
        async with made.request("GET", "http://registry.example/v2/") as answer:
            assert await answer.read(10) == b"ok"
        with pytest.raises(Unavailable, match="407"):
            async with made.request("GET", "https://registry.example/v2/"):
                pass
        await made.close()
    secret = "Proxy-Authorization: Basic YW5uOnNlQGNyZXQ="
    assert seen[:2] == ["GET http://registry.example/v2/ HTTP/1.1", secret]
    assert seen[2:] == ["CONNECT registry.example:443 HTTP/1.1", secret]


@pytest.mark.parametrize(
    ("url", "spared"),
    [
        ("https://example.com/", False),
        ("https://inside.example.com/", True),
        ("https://a.inside.example.com:5000/", True),
        ("https://notinside.example.com/", False),
        ("https://10.1.2.3/", True),
        ("https://11.1.2.3/", False),
        ("https://port.example.com:5000/", True),
        ("https://port.example.com/", False),
        ("http://localhost/", True),
        ("http://127.8.9.1:5000/", True),
        ("http://[::1]:5000/", True),
    ],
)
def test_what_is_reached_without_the_proxy(url: str, spared: bool) -> None:
    proxies = Proxies("p:1", "p:2", (".inside.example.com", "10.0.0.0/8", "port.example.com:5000"))
    assert (proxies.choose(url) == "") == spared
    assert Proxies("p:1", "p:2", ("*",)).choose(url) == ""


@given(st.text(max_size=40))
def test_any_text_is_a_rule(rule: str) -> None:
    Proxies("p:1", "p:2", (rule,)).choose("https://example.com/")
    is_loopback(rule)
