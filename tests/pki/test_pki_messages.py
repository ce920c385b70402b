"""Signed and encrypted messages: round trips, tampering, and the `openssl cms` program on the other side."""

import datetime
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.errors import BoxshipError, Denied, Invalid, Unsupported
from boxship.pki import authority, der, envelopes, keys, messages
from boxship.pki.certificates import load_certificates
from boxship.pki.chain import Trusted
from boxship.pki.names import subject_for

NOW = datetime.datetime.now(datetime.UTC)
CONTENT = b"pay 10 to alice\n\x00\xff" * 20
OF_BOTH = ("ec", "rsa")  # the program has no Ed25519 in messages before its version 3.2
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


class Holder:
    """A key, its certificate and the folder of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = keys.load_key((folder / "key.pem").read_bytes(), None, "key")
        self.chain = load_certificates((folder / "cert.pem").read_bytes(), "cert")
        self.roots = load_certificates((folder / "ca.pem").read_bytes(), "ca")
        self.trusted = Trusted(self.roots, NOW)

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    authority.create(folder / "one", "One", NOW)
    authority.create(folder / "two", "Two", NOW)
    opened = authority.open_authority(folder / "one")
    for kind in keys.KINDS:
        opened.issue("signer", subject_for(kind, ()), NOW, key_kind=kind)
    authority.open_authority(folder / "two").issue("signer", subject_for("stranger", ()), NOW)
    return folder


@pytest.fixture
def holders(home: Path) -> dict[str, Holder]:
    found = {kind: Holder(home / "one" / "issued" / kind) for kind in keys.KINDS}
    return {**found, "stranger": Holder(home / "two" / "issued" / "stranger")}


@pytest.mark.parametrize("kind", keys.KINDS)
@pytest.mark.parametrize("attached", [True, False])
def test_what_is_signed_is_verified(holders: dict[str, Holder], kind: str, attached: bool) -> None:
    holder = holders[kind]
    message = messages.sign(CONTENT, holder.key, holder.chain, NOW, attached=attached)
    for form in (message, messages.armoured(message)):
        found = messages.verify(form, None if attached else CONTENT, holder.trusted)
        assert found.content == CONTENT
        assert [signer.name for signer in found.signers] == [kind]
        assert found.signers[0].time == NOW.replace(microsecond=0)
    with pytest.raises(Denied):
        messages.verify(message, CONTENT + b"!", holder.trusted)
    if not attached:
        with pytest.raises(Invalid, match="none was given"):
            messages.verify(message, None, holder.trusted)


def test_whom_nobody_vouches_for_is_refused(holders: dict[str, Holder]) -> None:
    mine, stranger = holders["ec"], holders["stranger"]
    message = messages.sign(CONTENT, mine.key, mine.chain, NOW)
    for trusted, why in (
        (Trusted(stranger.roots, NOW), "no trusted authority"),
        (Trusted((), NOW), "no trusted authority"),
        (Trusted(mine.roots, NOW + datetime.timedelta(days=400)), "not in force"),
        (Trusted(mine.roots, NOW - datetime.timedelta(days=1)), "not in force"),
        (Trusted(mine.roots, NOW, {mine.certificate.serial_number}), "revoked"),
    ):
        with pytest.raises(Denied, match=why):
            messages.verify(message, CONTENT, trusted)
    alone = messages.sign(CONTENT, mine.key, mine.chain[:1], NOW)
    with pytest.raises(Denied, match="no trusted authority"):
        messages.verify(alone, CONTENT, mine.trusted)
    with pytest.raises(Invalid, match="does not belong"):
        messages.sign(CONTENT, stranger.key, mine.chain, NOW)


def test_a_leaf_is_no_authority(home: Path, holders: dict[str, Holder]) -> None:
    """A certificate that a leaf's key signed leads nowhere, whatever it says."""
    from boxship.pki.certificates import Issuer, make_leaf

    mine = holders["ec"]
    forged_key = keys.new_key()
    issuer = Issuer(mine.certificate, mine.key)
    forged = make_leaf("signer", subject_for("root", ()), forged_key.public_key(), issuer, NOW, datetime.timedelta(1))
    message = messages.sign(CONTENT, forged_key, [forged, *mine.chain], NOW)
    with pytest.raises(Denied, match="no trusted authority"):
        messages.verify(message, CONTENT, mine.trusted)


def test_any_changed_byte_of_a_signed_message_is_refused(holders: dict[str, Holder]) -> None:
    """Content, signature, certificates, and all that holds them together."""
    holder = holders["ec"]
    message = messages.sign(CONTENT, holder.key, holder.chain, NOW, attached=True)
    for place in range(len(message)):
        changed = bytearray(message)
        changed[place] ^= 1 << place % 8
        with pytest.raises(BoxshipError):
            messages.verify(bytes(changed), None, holder.trusted)
            pytest.fail(f"byte {place}")


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_what_is_encrypted_is_opened_by_its_holder_alone(holders: dict[str, Holder], kind: str) -> None:
    mine, stranger = holders[kind], holders["stranger"]
    for content in (b"", b"x", CONTENT * 1000):
        message = envelopes.encrypt(content, [mine.certificate], NOW)
        assert envelopes.decrypt(messages.armoured(message), mine.key, mine.certificate) == content
        with pytest.raises(Denied, match="not for"):
            envelopes.decrypt(message, stranger.key, stranger.certificate)
    with pytest.raises(Denied):  # the certificate is right, the key is not
        envelopes.decrypt(message, keys.new_key(kind), mine.certificate)
    both = envelopes.encrypt(CONTENT, [holders["ec"].certificate, holders["rsa"].certificate], NOW)
    for holder in (holders["ec"], holders["rsa"]):
        assert envelopes.decrypt(both, holder.key, holder.certificate) == CONTENT


def test_who_cannot_be_encrypted_to(holders: dict[str, Holder]) -> None:
    with pytest.raises(Unsupported, match="Ed25519"):
        envelopes.encrypt(CONTENT, [holders["ed25519"].certificate], NOW)
    with pytest.raises(Invalid, match="not in force"):
        envelopes.encrypt(CONTENT, [holders["ec"].certificate], NOW + datetime.timedelta(days=500))
    with pytest.raises(Invalid, match="no recipient"):
        envelopes.encrypt(CONTENT, [], NOW)
    with pytest.raises(Invalid, match="not encrypted"):
        message = messages.sign(CONTENT, holders["ec"].key, holders["ec"].chain, NOW)
        envelopes.decrypt(message, holders["ec"].key, holders["ec"].certificate)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_flipped_bit_of_an_encrypted_message_is_refused(home: Path, data: st.DataObject) -> None:
    holder = Holder(home / "one" / "issued" / "ec")
    message = envelopes.encrypt(CONTENT, [holder.certificate], NOW)
    bit = data.draw(st.integers(0, 8 * 400)) % (len(message) * 8)
    changed = bytearray(message)
    changed[bit // 8] ^= 1 << bit % 8
    try:
        found = envelopes.decrypt(bytes(changed), holder.key, holder.certificate)
    except BoxshipError:
        return
    assert found == CONTENT  # a version number, say: it opens to what was encrypted, or not at all


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_an_error_of_ours(home: Path, data: bytes) -> None:
    holder = Holder(home / "one" / "issued" / "ec")
    for wrapped in (data, der.sequence(der.identifier(messages.SIGNED_DATA), der.write(der.context(0), data))):
        with pytest.raises(BoxshipError):
            messages.verify(wrapped, CONTENT, holder.trusted)
        with pytest.raises(BoxshipError):
            envelopes.decrypt(wrapped, holder.key, holder.certificate)


# the other side


def openssl(folder: Path, *arguments: str) -> bytes:
    done = subprocess.run(["openssl", "cms", *arguments], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@needs_openssl
@pytest.mark.parametrize("kind", OF_BOTH)
def test_openssl_verifies_what_we_sign(holders: dict[str, Holder], kind: str, tmp_path: Path) -> None:
    holder = holders[kind]
    (tmp_path / "content").write_bytes(CONTENT)
    root = str(holder.folder / "ca.pem")
    for attached, more in ((True, ()), (False, ("-content", "content"))):
        message = messages.sign(CONTENT, holder.key, holder.chain, NOW, attached=attached)
        (tmp_path / "message").write_bytes(messages.armoured(message))
        arguments = ("-verify", "-binary", "-inform", "PEM", "-in", "message", "-CAfile", root, *more)
        assert openssl(tmp_path, *arguments) == CONTENT


@needs_openssl
@pytest.mark.parametrize("kind", OF_BOTH)
@pytest.mark.parametrize("more", [(), ("-nodetach",), ("-nodetach", "-stream"), ("-keyid",), ("-md", "sha512")])
def test_we_verify_what_openssl_signs(
    holders: dict[str, Holder], kind: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    holder = holders[kind]
    (tmp_path / "content").write_bytes(CONTENT)
    place = str(holder.folder)
    arguments = ("-sign", "-binary", "-in", "content", "-outform", "DER", "-signer", f"{place}/cert.pem")
    arguments = (*arguments, "-inkey", f"{place}/key.pem", "-certfile", f"{place}/../../intermediate.pem", *more)
    message = openssl(tmp_path, *arguments)
    found = messages.verify(message, None if "-nodetach" in more else CONTENT, holder.trusted)
    assert found.content == CONTENT and found.signers[0].name == kind


@needs_openssl
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_openssl_opens_what_we_encrypt(holders: dict[str, Holder], kind: str, tmp_path: Path) -> None:
    holder = holders[kind]
    (tmp_path / "message").write_bytes(envelopes.encrypt(CONTENT, [holder.certificate], NOW))
    arguments = ("-decrypt", "-binary", "-inform", "DER", "-in", "message")
    place = str(holder.folder)
    assert openssl(tmp_path, *arguments, "-recip", f"{place}/cert.pem", "-inkey", f"{place}/key.pem") == CONTENT


@needs_openssl
@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("cipher", ["-aes128", "-aes-256-cbc", "-aes-128-gcm", "-aes-256-gcm"])
@pytest.mark.parametrize("more", [(), ("-stream",), ("-keyid",), ("oaep",)])
def test_we_open_what_openssl_encrypts(
    holders: dict[str, Holder], kind: str, cipher: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    holder = holders[kind]
    (tmp_path / "content").write_bytes(CONTENT)
    options = {"rsa": ("rsa_padding_mode:oaep", "rsa_oaep_md:sha256"), "ec": ("ecdh_kdf_md:sha256",)}[kind]
    if more == ("oaep",):
        more = tuple(word for option in options for word in ("-keyopt", option))
    recipient = ("-recip", str(holder.folder / "cert.pem"), *more)
    message = openssl(tmp_path, "-encrypt", "-binary", "-in", "content", "-outform", "DER", cipher, *recipient)
    assert envelopes.decrypt(message, holder.key, holder.certificate) == CONTENT
