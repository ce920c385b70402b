"""Image signatures in cosign's key-pair format: keys, what is signed, and the check. Pure; it knows no registry.

A private key is PKCS#8 in a secretbox under a key that scrypt makes of a passphrase; a signature is one over a small
JSON text ("simple signing") that names the image's manifest by its digest. Whoever checks must use `read_payload` on
the very bytes that were signed: the digest counts only after the signature does.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from boxship.errors import Denied, Invalid
from boxship.pki import keys
from boxship.spec import digest as digests

KEY_LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"
KEY_LABELS = (KEY_LABEL, "ENCRYPTED COSIGN PRIVATE KEY")
SIGNATURE_TYPE = "cosign container image signature"
ARTIFACT_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
PAYLOAD_BYTES = 64 * 1024  # more is no payload
SCRYPT = (65536, 8, 1)  # N, r, p
SCRYPT_ACCEPTED = (32768, 65536, 131072)  # N; other parameters could take any memory
SCRYPT_MEMORY_BYTES = 192 << 20
SALT_BYTES = 32

_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----\r?\n(.*?)-----END \1-----", re.DOTALL)


class Payload(msgspec.Struct, frozen=True):
    """What was signed. `reference` is the name it was signed under, "" for none."""

    digest: str
    reference: str = ""
    annotations: Mapping[str, Any] = {}


class _Identity(msgspec.Struct, frozen=True):
    reference: str = msgspec.field(name="docker-reference", default="")


class _Image(msgspec.Struct, frozen=True):
    digest: str = msgspec.field(name="docker-manifest-digest")


class _Critical(msgspec.Struct, frozen=True):
    identity: _Identity
    image: _Image
    type: str


class _Document(msgspec.Struct, frozen=True):
    critical: _Critical
    optional: dict[str, Any] | None = None


class _Parameters(msgspec.Struct, frozen=True):
    N: int
    r: int
    p: int


class _Derivation(msgspec.Struct, frozen=True):
    name: str
    params: _Parameters
    salt: str


class _Cipher(msgspec.Struct, frozen=True):
    name: str
    nonce: str


class _Sealed(msgspec.Struct, frozen=True):
    kdf: _Derivation
    cipher: _Cipher
    ciphertext: str


def new_pair(passphrase: bytes) -> tuple[bytes, bytes]:
    """A new key pair: the private key's PEM, encrypted, and the public key's."""
    key = keys.new_key()
    return seal(key, passphrase), keys.dump_public(key.public_key())


def seal(key: keys.Key, passphrase: bytes) -> bytes:
    """The private key as cosign keeps it."""
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(SecretBox.NONCE_SIZE)
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    box = SecretBox(_derive(passphrase, salt, SCRYPT[0]))
    sealed = _Sealed(
        _Derivation("scrypt", _Parameters(*SCRYPT), _encode(salt)),
        _Cipher("nacl/secretbox", _encode(nonce)),
        _encode(box.encrypt(plain, nonce).ciphertext),
    )
    text = base64.b64encode(msgspec.json.encode(sealed))
    lines = b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (KEY_LABEL.encode(), lines, KEY_LABEL.encode())


def is_sealed(data: bytes) -> bool:
    """Whether a PEM text is a private key that cosign made."""
    found = _PEM.search(data)
    return found is not None and found[1].decode() in KEY_LABELS


def unseal(data: bytes, passphrase: bytes, name: str) -> keys.Key:
    """The private key in a PEM text. Raises Denied for a wrong passphrase, Invalid for what is no such key."""
    found = _PEM.search(data)
    if found is None or found[1].decode() not in KEY_LABELS:
        raise Invalid(f"cannot read the key {name}: it is no {KEY_LABEL}")
    try:
        sealed = msgspec.json.decode(base64.b64decode(b"".join(found[2].split()), validate=True), type=_Sealed)
        salt, nonce, text = (_decode(part) for part in (sealed.kdf.salt, sealed.cipher.nonce, sealed.ciphertext))
    except (msgspec.MsgspecError, ValueError) as error:
        raise Invalid(f"cannot read the key {name}: {error}") from error
    parameters = sealed.kdf.params
    if sealed.kdf.name != "scrypt" or sealed.cipher.name != "nacl/secretbox":
        raise Invalid(f"cannot read the key {name}: its encryption is {sealed.kdf.name} and {sealed.cipher.name}")
    if parameters.N not in SCRYPT_ACCEPTED or (parameters.r, parameters.p) != SCRYPT[1:]:
        raise Invalid(f"cannot read the key {name}: the parameters of its encryption are not known")
    if len(nonce) != SecretBox.NONCE_SIZE:
        raise Invalid(f"cannot read the key {name}: its nonce has {len(nonce)} bytes")
    try:
        plain = SecretBox(_derive(passphrase, salt, parameters.N)).decrypt(text, nonce)
    except CryptoError as error:
        raise Denied(f"cannot open the key {name}: wrong passphrase, or the key is damaged") from error
    try:
        key = serialization.load_der_private_key(plain, None)
    except (ValueError, TypeError) as error:
        raise Invalid(f"cannot read the key {name}: {error}") from error
    keys.check_public(key.public_key(), name)
    assert isinstance(key, keys.Key)
    return key


def write_payload(digest: str, reference: str, annotations: Mapping[str, str] | None = None) -> bytes:
    """The text to sign for the manifest `digest`, called by the name `reference`."""
    document = {
        "critical": {
            "identity": {"docker-reference": reference},
            "image": {"docker-manifest-digest": digests.validate(digest)},
            "type": SIGNATURE_TYPE,
        },
        "optional": dict(annotations) if annotations else None,
    }
    return msgspec.json.encode(document)


def read_payload(data: bytes) -> Payload:
    """What a signed text says. Raises Invalid for one that says something else than that an image was signed."""
    if len(data) > PAYLOAD_BYTES:
        raise Invalid(f"cannot read the signed payload: it has more than {PAYLOAD_BYTES} bytes")
    try:
        document = msgspec.json.decode(data, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read the signed payload: {error}") from error
    if document.critical.type != SIGNATURE_TYPE:
        raise Invalid(f"cannot use the signed payload: its type is {document.critical.type!r}")
    digest = digests.validate(document.critical.image.digest)
    return Payload(digest, document.critical.identity.reference, document.optional or {})


def sign(key: keys.Key, payload: bytes) -> str:
    """The signature as it stands in the annotation: base64."""
    return _encode(keys.sign(key, payload))


def is_signed(key: keys.PublicKey, payload: bytes, signature: str) -> bool:
    """Whether `signature`, base64, is one of `key` over exactly these bytes."""
    try:
        return keys.is_signed(key, _decode(signature), payload)
    except ValueError:
        return False


def fingerprint(key: keys.PublicKey) -> str:
    """A name for a public key that people can compare: SHA-256 of its DER form, shortened."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key.public_bytes(*form)).hexdigest()[:16]


def is_usual(key: keys.PublicKey) -> bool:
    """Whether cosign itself makes such keys: ECDSA on P-256."""
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"


def _derive(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(
        passphrase, salt=salt, n=cost, r=SCRYPT[1], p=SCRYPT[2], maxmem=SCRYPT_MEMORY_BYTES, dklen=SecretBox.KEY_SIZE
    )


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    """Raises ValueError for what is not base64 in its one canonical form: a signature has one spelling."""
    data = base64.b64decode(text, validate=True)
    if _encode(data) != text:
        raise ValueError("it is not canonical base64")
    return data
