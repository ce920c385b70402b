"""Sealing of single values with symmetric keys, in the ways that Kubernetes' encryption at rest knows: AES-GCM, which
also binds a value to its place; NaCl's secret box; and AES-CBC, which proves nothing of what it opens."""

import secrets
from typing import Protocol

import nacl.exceptions
import nacl.secret
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from boxship.errors import Invalid

NONCE_BYTES = 12
AES_BYTES = (16, 24, 32)
BOX_BYTES = 32
BLOCK_BYTES = 16
OPENED = b"{"  # what every value of an API begins with


class Box(Protocol):
    """One key. `place` is where the value lies."""

    def seal(self, value: bytes, place: bytes) -> bytes: ...

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Raises Invalid for what was changed, or sealed by another key or for another place."""


class AesBox:
    """AES-GCM; a fresh random nonce stands before each sealed value."""

    def __init__(self, key: bytes) -> None:
        if len(key) not in AES_BYTES:
            raise Invalid(f"cannot use an AES key of {len(key)} bytes: 16, 24 or 32 are needed")
        self._cipher = AESGCM(key)

    def seal(self, value: bytes, place: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
        except (InvalidTag, ValueError) as error:
            raise Invalid("it was changed, or its key is another") from error


class CbcBox:
    """AES-CBC with PKCS #7; a random block stands before each sealed value. It has no check of its own: what another
    key has sealed is known by what comes out."""

    def __init__(self, key: bytes) -> None:
        if len(key) not in AES_BYTES:
            raise Invalid(f"cannot use an AES key of {len(key)} bytes: 16, 24 or 32 are needed")
        self._key = AES(key)

    def seal(self, value: bytes, place: bytes) -> bytes:
        first = secrets.token_bytes(BLOCK_BYTES)
        padder, cipher = PKCS7(8 * BLOCK_BYTES).padder(), Cipher(self._key, CBC(first)).encryptor()
        return first + cipher.update(padder.update(value) + padder.finalize()) + cipher.finalize()

    def open(self, sealed: bytes, place: bytes) -> bytes:
        why = "it was changed, or its key is another"
        try:
            cipher = Cipher(self._key, CBC(sealed[:BLOCK_BYTES])).decryptor()
            padded = cipher.update(sealed[BLOCK_BYTES:]) + cipher.finalize()
            padder = PKCS7(8 * BLOCK_BYTES).unpadder()
            value = padder.update(padded) + padder.finalize()
        except ValueError as error:
            raise Invalid(why) from error
        if not value.startswith(OPENED):
            raise Invalid(why)
        return value


class SecretBox:
    """XSalsa20 and Poly1305."""

    def __init__(self, key: bytes) -> None:
        if len(key) != BOX_BYTES:
            raise Invalid(f"cannot use a secretbox key of {len(key)} bytes: {BOX_BYTES} are needed")
        self._box = nacl.secret.SecretBox(key)

    def seal(self, value: bytes, place: bytes) -> bytes:
        return bytes(self._box.encrypt(value))

    def open(self, sealed: bytes, place: bytes) -> bytes:
        try:
            return bytes(self._box.decrypt(sealed))
        except (nacl.exceptions.CryptoError, ValueError, TypeError) as error:
            raise Invalid("it was changed, or its key is another") from error
