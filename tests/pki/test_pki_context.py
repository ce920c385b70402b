"""Both ends of a real TLS connection: who gets in, and who does not."""

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest

from boxship.errors import Invalid, NotFound
from boxship.pki import authority
from boxship.pki.context import client_context, server_context
from boxship.pki.names import subject_for


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def make(folder: Path) -> authority.Authority:
    authority.create(folder, "Test", now())
    return authority.open_authority(folder)


def of(folder: Path) -> tuple[Path, Path, Path]:
    return folder / "cert.pem", folder / "key.pem", folder / "ca.pem"


async def greet(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> str:
    """What a client of this context reads from a server of that one, under that name."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        peer = writer.get_extra_info("peercert")
        writer.write(dict(entry[0] for entry in peer["subject"])["commonName"].encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server) as listener:
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        try:
            writer.write(b"hello\n")
            answer_text = (await reader.read()).decode()
            if not answer_text:  # with TLS 1.3 the client learns that it was turned away when it reads
                raise ConnectionError("turned away")
            return answer_text
        finally:
            writer.close()


async def test_a_client_of_the_authority_is_known_by_its_name(tmp_path: Path) -> None:
    mine = make(tmp_path / "pki")
    server = mine.issue_server(subject_for("web", ("localhost", "127.0.0.1")), now())
    client = mine.issue_client(subject_for("alice", ()), now())
    for name in ("localhost", "127.0.0.1"):
        assert await greet(server_context(*of(server)), client_context(*of(client)), name) == "alice"


async def test_strangers_stay_outside(tmp_path: Path) -> None:
    mine, other = make(tmp_path / "pki"), make(tmp_path / "other")
    server = mine.issue_server(subject_for("web", ("localhost",)), now())
    client = mine.issue_client(subject_for("alice", ()), now())
    stranger = other.issue_client(subject_for("alice", ()), now())
    listener = server_context(*of(server))

    foreign = client_context(stranger / "cert.pem", stranger / "key.pem", server / "ca.pem")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await greet(listener, foreign)  # a certificate of another authority
    nobody = ssl.create_default_context(cafile=str(server / "ca.pem"))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await greet(listener, nobody)  # no certificate
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await greet(listener, client_context(*of(server)))  # a server's certificate, used as a client's
    with pytest.raises(ssl.SSLCertVerificationError):
        await greet(listener, client_context(*of(client)), "elsewhere")  # the server under a wrong name
    with pytest.raises(ssl.SSLCertVerificationError):
        await greet(server_context(*of(client)), client_context(*of(client)))  # a client's certificate as a server's


def test_broken_files_are_named(tmp_path: Path) -> None:
    mine = make(tmp_path / "pki")
    certificate, key, root = of(mine.issue_server(subject_for("web", ("localhost",)), now()))
    with pytest.raises(NotFound, match="missing"):
        server_context(certificate, tmp_path / "missing.pem", root)
    with pytest.raises(Invalid, match="key"):
        server_context(certificate, tmp_path / "pki" / "intermediate-key.pem", root)  # encrypted: no question asked
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("nothing")
    with pytest.raises(Invalid, match="authority"):
        server_context(certificate, key, garbage)
    with pytest.raises(Invalid, match="certificate"):
        server_context(garbage, key, root)
