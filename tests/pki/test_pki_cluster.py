"""The authority of a cluster: its files, their renewal, clients' certificates, tokens and signing requests."""

import base64
import datetime
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from boxship.errors import Invalid, Unauthenticated
from boxship.pki import keys
from boxship.pki.certificates import dump_certificates, load_certificates
from boxship.pki.cluster import ClusterAuthority, open_authority
from boxship.pki.cluster_certificates import first_address
from boxship.pki.cluster_requests import issue, read_request
from boxship.pki.cluster_tokens import TokenKeys

NOW = datetime.datetime(2026, 11, 1, 12, 0, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path) -> ClusterAuthority:
    return open_authority(tmp_path / "pki", ["api.example.test", "192.0.2.7"], NOW)


def certificate(path: Path) -> x509.Certificate:
    return load_certificates(path.read_bytes(), str(path))[0]


def der(path: Path) -> bytes:
    return certificate(path).public_bytes(serialization.Encoding.DER)


def test_a_new_authority_is_laid_out_as_tools_expect_it(authority: ClusterAuthority) -> None:
    names = {path.name for path in authority.folder.iterdir()}
    assert {"ca.crt", "ca.key", "apiserver.crt", "apiserver.key", "front-proxy-ca.crt", "sa.key", "sa.pub"} <= names
    for path in authority.folder.iterdir():
        private = path.suffix == ".key"
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if private else 0o644), path
    places = certificate(authority.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = places.get_values_for_type(x509.DNSName)
    assert {"kubernetes.default.svc.cluster.local", "localhost", "api.example.test"} <= set(hosts)
    addresses = {str(address) for address in places.get_values_for_type(x509.IPAddress)}
    assert {"127.0.0.1", "::1", "10.96.0.1", "192.0.2.7"} <= addresses
    assert authority.server_context() is not None


def test_opening_again_changes_nothing(authority: ClusterAuthority) -> None:
    before = {path.name: path.read_bytes() for path in authority.folder.iterdir()}
    open_authority(authority.folder, ["192.0.2.7"], NOW + DAY)
    assert {path.name: path.read_bytes() for path in authority.folder.iterdir()} == before


def test_what_ends_is_renewed_with_the_same_key(authority: ClusterAuthority) -> None:
    before = certificate(authority.certificate)
    root = certificate(authority.client_ca)
    later = open_authority(authority.folder, [], NOW + 300 * DAY)
    after = certificate(later.certificate)
    assert after.not_valid_after_utc > before.not_valid_after_utc
    assert keys.same_public(keys.check_public(after.public_key(), ""), before.public_key())
    assert certificate(later.client_ca) == root
    much_later = open_authority(authority.folder, [], NOW + 3000 * DAY)
    renewed = certificate(much_later.client_ca)
    assert renewed.not_valid_after_utc > root.not_valid_after_utc
    before.verify_directly_issued_by(renewed)


def test_a_further_name_and_a_lost_certificate_are_made_good(authority: ClusterAuthority) -> None:
    authority.client("admin")[0].unlink()
    again = open_authority(authority.folder, ["other.example.test"], NOW)
    places = certificate(again.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "other.example.test" in places.get_values_for_type(x509.DNSName)
    assert again.clients.identify(der(again.client("admin")[0]), NOW).groups == ("system:masters",)


def test_half_an_authority_is_refused(authority: ClusterAuthority) -> None:
    (authority.folder / "ca.key").unlink()
    with pytest.raises(Invalid, match=r"ca\.key is missing"):
        open_authority(authority.folder, [], NOW)


def test_a_kill_in_the_middle_leaves_all_or_nothing(tmp_path: Path) -> None:
    program = (
        "import os, sys, datetime, pathlib\n"
        "from boxship.pki import files, cluster\n"
        "left, write = int(sys.argv[2]), files.write_file\n"
        "def counted(*given):\n"
        "    global left\n"
        "    left -= 1\n"
        "    if left < 0: os.kill(os.getpid(), 9)\n"
        "    write(*given)\n"
        "files.write_file = cluster.write_file = counted\n"
        "cluster.open_authority(pathlib.Path(sys.argv[1]), [], datetime.datetime.now(datetime.UTC))\n"
    )
    for count in (0, 7, 17):
        folder = tmp_path / str(count) / "pki"
        done = subprocess.run([sys.executable, "-c", program, str(folder), str(count)], timeout=60)
        assert done.returncode == -signal.SIGKILL
        assert not folder.exists()
        open_authority(folder, [], NOW)
        assert [path.name for path in folder.parent.iterdir()] == ["pki"]


def test_the_kubeconfig_holds_all_that_a_client_needs(authority: ClusterAuthority) -> None:
    text = authority.kubeconfig("admin", "https://127.0.0.1:6443").decode()
    shown = text.split("client-certificate-data: ")[1].split("\n")[0]
    assert base64.b64decode(shown) == authority.client("admin")[0].read_bytes()
    assert 'server: "https://127.0.0.1:6443"' in text


def test_clients_are_known_by_their_certificate(authority: ClusterAuthority, tmp_path: Path) -> None:
    identity = authority.clients.identify(der(authority.client("controller-manager")[0]), NOW)
    assert (identity.name, identity.groups, identity.is_front_proxy) == ("system:kube-controller-manager", (), False)
    assert identity.credential.startswith("X509SHA256=")
    assert authority.clients.identify(der(authority.client("front-proxy-client")[0]), NOW).is_front_proxy
    with pytest.raises(Unauthenticated, match="expired"):
        authority.clients.identify(der(authority.client("admin")[0]), NOW + 500 * DAY)
    with pytest.raises(Unauthenticated, match="incompatible key usage"):
        authority.clients.identify(der(authority.certificate), NOW)
    other = open_authority(tmp_path / "other", [], NOW)
    with pytest.raises(Unauthenticated, match="unknown authority"):
        authority.clients.identify(der(other.client("admin")[0]), NOW)
    with pytest.raises(Unauthenticated, match="malformed"):
        authority.clients.identify(b"0\x82nothing", NOW)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_tokens_are_checked_against_every_key(kind: str) -> None:
    old, new = keys.new_key(kind), keys.new_key()
    token = TokenKeys(old).sign({"sub": "x"})
    both = TokenKeys(new, [old.public_key()])
    assert both.read(token) == {"sub": "x"} == both.read(token)
    assert len(both.key_set()["keys"]) == 2
    head, body, signature = token.split(".")
    other = base64.urlsafe_b64encode(b'{"sub":"y"}').decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for wrong in (
        f"{head}.{other}.{signature}",
        f"{none}.{body}.",
        "x",
        f"{head}.{body}.{signature[:-4]}",
        "..",
        "é.é.é",
    ):
        with pytest.raises(Unauthenticated):
            both.read(wrong)
    with pytest.raises(Unauthenticated):
        TokenKeys(new).read(token)


def request_of(kind: str = "ec", hosts: tuple[str, ...] = ()) -> bytes:
    key = keys.new_key(kind)
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "team"), x509.NameAttribute(NameOID.COMMON_NAME, "jane")]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False)
    return builder.sign(key, None if kind == "ed25519" else hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("kind", keys.KINDS)
def test_a_request_becomes_a_certificate(authority: ClusterAuthority, kind: str) -> None:
    request = read_request(request_of(kind, ("a.example.test",)))
    assert (request.name, request.groups, request.hosts) == ("jane", ("team",), ("a.example.test",))
    life = datetime.timedelta(hours=1)
    data = issue(request, ["digital signature", "client auth"], authority.signer, NOW, life)
    made = load_certificates(data, "made")[0]
    assert authority.clients.identify(made.public_bytes(serialization.Encoding.DER), NOW).name == "jane"
    assert made.not_valid_after_utc - made.not_valid_before_utc == life
    usages = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(Invalid, match="unrecognized usage"):
        issue(request, ["flying"], authority.signer, NOW, life)


@pytest.mark.parametrize(
    "data", [b"", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_what_is_no_request_is_refused(data: bytes, authority: ClusterAuthority) -> None:
    with pytest.raises(Invalid):
        read_request(data)
    with pytest.raises(Invalid):
        read_request(dump_certificates(authority.signer.certificate))


def test_the_first_address_of_a_range() -> None:
    assert str(first_address("10.43.0.0/16")) == "10.43.0.1"
    assert str(first_address("fd00::/108")) == "fd00::1"
    with pytest.raises(Invalid):
        first_address("10.0.0.1/8")


def test_a_replaced_signing_key_leaves_old_tokens_good(authority: ClusterAuthority) -> None:
    token = authority.tokens.sign({"sub": "x"})
    (authority.folder / "sa.key").write_bytes(keys.dump_key(keys.new_key(), None))
    again = open_authority(authority.folder, [], NOW)
    assert again.tokens.read(token) == {"sub": "x"}
    assert again.tokens.sign({"sub": "x"}).split(".")[0] != token.split(".")[0]
