"""Certificates that change under a running server: renewed, revoked, damaged; open connections go on."""

import asyncio
import contextlib
import datetime
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from boxship.errors import Invalid
from boxship.pki import authority, places
from boxship.pki.certificates import life_of
from boxship.pki.context import client_context
from boxship.pki.live import LiveTls, Renewal, TlsFiles, ensure_server, files_of, renewal_time
from boxship.pki.names import subject_for
from boxship.transport.exchange import Reply, Request
from boxship.transport.listen import TlsAddress
from boxship.transport.server import Server

PLACES = ("localhost", "127.0.0.1")


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Desk:
    """An authority, a server under `files`, and clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority.create(folder, "Test", now())
        self.authority = authority.open_authority(folder)
        self.steps: asyncio.Queue[bytes] = asyncio.Queue()
        self.port = 0

    def client(self, name: str) -> ssl.SSLContext:
        place = self.folder / "issued" / name
        if not place.exists():
            self.authority.issue_client(subject_for(name, ()), now())
        return client_context(place / "cert.pem", place / "key.pem", place / "ca.pem")

    async def handle(self, request: Request) -> Reply:
        if request.path == "/stream":
            return Reply(200, {}, self.stream())
        return Reply(200, {}, b"hello")

    async def stream(self) -> AsyncIterator[bytes]:
        while piece := await self.steps.get():
            yield piece

    @asynccontextmanager
    async def serve(self, source: LiveTls, *, clients: bool = True) -> AsyncIterator[None]:
        server = Server(self.handle)
        await server.start([TlsAddress("127.0.0.1", 0, source, clients)])
        self.port = server.addresses[0][1]
        try:
            yield
        finally:
            await server.stop()

    async def connect(self, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname="localhost")

    async def ask(self, context: ssl.SSLContext) -> int:
        """The serial number of the certificate that the server shows, once it has answered."""
        reader, writer = await self.connect(context)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 10)
            if b"hello" not in answer:
                raise ConnectionError("turned away")
            return int(writer.get_extra_info("peercert")["serialNumber"], 16)
        finally:
            writer.close()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "pki")


def serial(desk: Desk, name: str) -> int:
    return places.one_certificate(desk.folder / "issued" / name / "cert.pem").serial_number


async def test_a_renewed_certificate_is_shown_and_an_open_stream_goes_on(desk: Desk) -> None:
    source = LiveTls(ensure_server(desk.folder, None, "box", PLACES, now()))
    alice = desk.client("alice")
    async with desk.serve(source):
        reader, writer = await desk.connect(alice)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        desk.steps.put_nowait(b"one")
        await asyncio.wait_for(reader.readuntil(b"one"), 10)
        first = await desk.ask(alice)
        assert first == serial(desk, "box")
        for kind in ("", "ec"):  # with the same key, then with a new one
            desk.authority.renew("box", now(), key_kind=kind)
            assert await desk.ask(alice) == serial(desk, "box") != first
        desk.steps.put_nowait(b"two")
        await asyncio.wait_for(reader.readuntil(b"two"), 10)
        writer.close()


async def test_a_revoked_client_is_turned_away_at_once_and_its_stream_is_cut(desk: Desk) -> None:
    source = LiveTls(ensure_server(desk.folder, None, "box", PLACES, now()))
    alice, bob = desk.client("alice"), desk.client("bob")
    async with desk.serve(source):
        reader, writer = await desk.connect(alice)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        desk.steps.put_nowait(b"one")
        await asyncio.wait_for(reader.readuntil(b"one"), 10)
        await desk.ask(alice)
        desk.authority.revoke([serial(desk, "alice")], "key-compromise", now())
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await desk.ask(alice)  # also where the session is remembered: the context is the same
        await desk.ask(bob)
        desk.steps.put_nowait(b"two")
        rest = b""
        with contextlib.suppress(ConnectionError):
            rest = await asyncio.wait_for(reader.read(), 10)
        assert b"two" not in rest
        writer.close()


async def test_a_hold_can_be_taken_back(desk: Desk) -> None:
    source = LiveTls(ensure_server(desk.folder, None, "box", PLACES, now()))
    alice = desk.client("alice")
    async with desk.serve(source):
        desk.authority.revoke([serial(desk, "alice")], "hold", now())
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await desk.ask(alice)
        desk.authority.unrevoke([serial(desk, "alice")], now())
        await desk.ask(alice)


async def test_a_list_that_is_lost_lets_nobody_in_again(desk: Desk) -> None:
    files = ensure_server(desk.folder, None, "box", PLACES, now())
    source = LiveTls(files)
    alice, bob = desk.client("alice"), desk.client("bob")
    async with desk.serve(source):
        desk.authority.revoke([serial(desk, "alice")], "superseded", now())
        assert files.revoked is not None
        await desk.ask(bob)
        files.revoked.unlink()
        await desk.ask(bob)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await desk.ask(alice)


async def test_files_in_the_middle_of_a_change_leave_what_was_good(desk: Desk) -> None:
    files = ensure_server(desk.folder, None, "box", PLACES, now())
    source = LiveTls(files)
    alice = desk.client("alice")
    async with desk.serve(source):
        first = await desk.ask(alice)
        good = files.certificate.read_bytes()
        for damage in (b"", good[:300], b"garbage"):
            files.certificate.write_bytes(damage)
            assert await desk.ask(alice) == first
        files.certificate.unlink()
        assert await desk.ask(alice) == first
        files.certificate.write_bytes(good)
        desk.authority.renew("box", now())
        assert await desk.ask(alice) == serial(desk, "box") != first
        assert files.revoked is not None
        files.revoked.write_bytes(b"garbage")  # what was revoked before stays so
        await desk.ask(alice)


async def test_a_listener_without_client_certificates_takes_everybody(desk: Desk) -> None:
    source = LiveTls(ensure_server(desk.folder, None, "box", PLACES, now()), clients=False)
    nobody = ssl.create_default_context(cafile=str(desk.folder / "ca.pem"))
    async with desk.serve(source, clients=False):
        first = await desk.ask(nobody)
        desk.authority.renew("box", now())
        assert await desk.ask(nobody) != first
    with pytest.raises(Invalid, match="client certificates alone"):
        async with desk.serve(source):
            pass


async def test_short_lived_certificates_are_renewed_at_two_thirds(desk: Desk) -> None:
    life = datetime.timedelta(seconds=6)
    source = LiveTls(ensure_server(desk.folder, None, "box", PLACES, now(), life))
    renewal = Renewal(desk.folder, None, ("box",), (source,), life)
    alice = desk.client("alice")
    async with desk.serve(source):
        reader, writer = await desk.connect(alice)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        task = asyncio.create_task(renewal.run())
        seen: set[int] = set()
        async with asyncio.timeout(60):
            while len(seen) < 3:  # the certificate of the beginning has long ended by then
                seen.add(await desk.ask(alice))
                desk.steps.put_nowait(b"%d." % len(seen))
                await reader.readuntil(b"%d." % len(seen))
        task.cancel()
        writer.close()


async def test_it_is_renewed_when_it_is_due_and_not_before(desk: Desk) -> None:
    begin = now()
    ensure_server(desk.folder, None, "box", PLACES, begin, datetime.timedelta(days=90))
    renewal = Renewal(desk.folder, None, ("box",), (), datetime.timedelta(days=90))
    first = serial(desk, "box")
    due = renewal_time(places.one_certificate(desk.folder / "issued" / "box" / "cert.pem"))
    assert datetime.timedelta(days=59) < due - begin < datetime.timedelta(days=61)
    await renewal.step(due - datetime.timedelta(minutes=1))
    assert serial(desk, "box") == first
    await renewal.step(due)
    renewed = places.one_certificate(desk.folder / "issued" / "box" / "cert.pem")
    assert renewed.serial_number != first
    assert renewed.not_valid_after_utc - due > datetime.timedelta(days=89)
    assert abs(life_of(renewed) - datetime.timedelta(days=90)) < datetime.timedelta(seconds=2)


def test_the_daemons_certificate_gets_the_places_that_it_lacks(desk: Desk) -> None:
    ensure_server(desk.folder, None, "box", PLACES, now())
    first = serial(desk, "box")
    ensure_server(desk.folder, None, "box", ("localhost",), now())
    assert serial(desk, "box") == first
    ensure_server(desk.folder, None, "box", ("box.example.org",), now())
    found = next(entry for entry in places.summaries(desk.folder) if entry.name == "box")
    assert set(found.places) == {*PLACES, "box.example.org"}
    desk.authority.revoke([serial(desk, "box")], "key-compromise", now())
    key = (desk.folder / "issued" / "box" / "key.pem").read_bytes()
    ensure_server(desk.folder, None, "box", PLACES, now())
    assert (desk.folder / "issued" / "box" / "key.pem").read_bytes() != key
    desk.client("alice")
    with pytest.raises(Invalid, match="client"):
        ensure_server(desk.folder, None, "alice", PLACES, now())


async def test_files_from_elsewhere_are_read_again(desk: Desk, tmp_path: Path) -> None:
    """As another program's renewal replaces them, without our authority."""
    desk.authority.issue_server(subject_for("one", PLACES), now())
    desk.authority.issue_server(subject_for("two", PLACES), now())
    used = tmp_path / "used"
    shutil.copytree(desk.folder / "issued" / "one", used)
    source = LiveTls(TlsFiles(used / "cert.pem", used / "key.pem", used / "ca.pem"))
    alice = desk.client("alice")
    async with desk.serve(source):
        assert await desk.ask(alice) == serial(desk, "one")
        for name in ("cert.pem", "key.pem"):
            shutil.copy(desk.folder / "issued" / "two" / name, used / name)
            await desk.ask(alice)
        assert await desk.ask(alice) == serial(desk, "two")
    assert files_of(desk.folder, "one").revoked == desk.folder / "crl.pem"
