"""Registries behind TLS: whom we believe, who we are, and what is never sent in the clear."""

import datetime
import shutil
import ssl
from pathlib import Path

import pytest
from remote_registry import FakeRegistry, Said
from remote_room import RemoteRoom, digest_of, put_image

from boxship.errors import BoxshipError, Denied, Invalid
from boxship.images.remote.endpoints import endpoints, is_insecure
from boxship.images.remote.model import Credentials, RemoteSettings
from boxship.pki import authority
from boxship.pki.names import subject_for
from boxship.spec.reference import DEFAULT_DOMAIN


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A server's certificate, and client certificates, in the folder of one authority."""
    now = datetime.datetime.now(datetime.UTC)
    authority.create(tmp_path / "pki", "Test", now)
    ours = authority.open_authority(tmp_path / "pki")
    me = ours.issue_client(subject_for("me", ()), now)
    me.rename(tmp_path / "me")
    return ours.issue_server(subject_for("registry", ("127.0.0.1", "localhost")), now)


def context(server: Path, *, demand: bool = False) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(server / "cert.pem", server / "key.pem")
    if demand:
        made.load_verify_locations(server / "ca.pem")
        made.verify_mode = ssl.CERT_REQUIRED
    return made


async def test_folder_of_a_registry(tmp_path: Path, server: Path) -> None:
    with FakeRegistry(context(server, demand=True)) as registry:
        put_image(registry)
        folder = tmp_path / "certs.d" / registry.host
        folder.mkdir(parents=True)
        room = await RemoteRoom(tmp_path / "room", certificate_folders=(str(tmp_path / "certs.d"),)).open()
        with pytest.raises(BoxshipError):
            await room.pull(f"{registry.host}/team/app:1")
        shutil.copy(server / "ca.pem", folder / "ca.crt")
        shutil.copy(tmp_path / "me" / "cert.pem", folder / "client.cert")
        with pytest.raises(Invalid, match=r"client.key is missing"):
            await room.pull(f"{registry.host}/team/app:1")
        shutil.copy(tmp_path / "me" / "key.pem", folder / "client.key")
        await room.pull(f"{registry.host}/team/app:1")
        await room.close()


async def test_wrong_authority_in_the_folder(tmp_path: Path, server: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    authority.create(tmp_path / "other", "Other", now)
    with FakeRegistry(context(server)) as registry:
        put_image(registry)
        folder = tmp_path / "certs.d" / registry.host
        folder.mkdir(parents=True)
        other = authority.open_authority(tmp_path / "other").issue_server(subject_for("x", ("127.0.0.1",)), now)
        shutil.copy(other / "ca.pem", folder / "ca.crt")
        room = await RemoteRoom(tmp_path / "room", certificate_folders=(str(tmp_path / "certs.d"),)).open()
        with pytest.raises(BoxshipError, match="failed to verify certificate"):
            await room.pull(f"{registry.host}/team/app:1", credentials=Credentials("ann", "secret"))
        assert not registry.asked
        await room.close()


async def test_no_redirect_from_tls_to_plain_http(tmp_path: Path, server: Path) -> None:
    with FakeRegistry(context(server)) as registry, FakeRegistry() as plain:
        put_image(registry)
        moved = digest_of(registry, 1)
        registry.rule("GET", f"blobs/{moved}", Said(307, {"Location": f"{plain.url}/x"}))
        room = await RemoteRoom(tmp_path / "room").open()
        with pytest.raises(Denied, match="plain HTTP"):
            await room.pull(f"{registry.host}/team/app:1")
        assert not plain.asked
        await room.close()


async def test_sick_tls_server_is_not_taken_for_a_plain_one(tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        registry.rule("*", "", Said(400, body=b"Client sent an HTTP request to an HTTPS server."), times=1)
        put_image(registry)
        room = await RemoteRoom(tmp_path / "room").open()
        with pytest.raises(BoxshipError, match=r"connection reset|HTTPS"):
            await room.pull(f"{registry.host}/team/app:1")
        await room.pull(f"{registry.host}/team/app:1")
        await room.close()


def test_what_may_be_insecure() -> None:
    settings = RemoteSettings(insecure=("lab.example:5000", "10.0.0.0/8", "plain.example"))
    for domain in ("localhost:5000", "127.0.0.1", "[::1]:5000", "lab.example:5000", "10.2.3.4:80", "plain.example:1"):
        assert is_insecure(settings, domain), domain
        assert not endpoints(settings, domain)[-1].trust.verify
    for domain in ("lab.example", "lab.example:5001", "11.0.0.1", DEFAULT_DOMAIN, "localhost.example"):
        assert not is_insecure(settings, domain), domain
        made = endpoints(settings, domain)[-1]
        assert made.trust.verify and made.base.startswith("https://") and not made.insecure
