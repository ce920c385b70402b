"""Private keys of image signers as cosign keeps them: in a secretbox, under a key made of a passphrase by scrypt."""

import base64
import hashlib
import re
import secrets

import msgspec
from cryptography.hazmat.primitives import serialization
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from boxship.errors import Denied, Invalid
from boxship.pki import keys

KEY_LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"
KEY_LABELS = (KEY_LABEL, "ENCRYPTED COSIGN PRIVATE KEY")
SCRYPT = (65536, 8, 1)  # N, r, p
SCRYPT_ACCEPTED = (32768, 65536, 131072)  # N; other parameters could take any memory
SCRYPT_MEMORY_BYTES = 192 << 20
SALT_BYTES = 32

_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----\r?\n(.*?)-----END \1-----", re.DOTALL)


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


def _derive(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(
        passphrase, salt=salt, n=cost, r=SCRYPT[1], p=SCRYPT[2], maxmem=SCRYPT_MEMORY_BYTES, dklen=SecretBox.KEY_SIZE
    )


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
