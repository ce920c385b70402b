"""Sealing of single values with symmetric keys, in the two ways that Kubernetes' encryption at rest knows: AES-GCM,
which also binds a value to its place, and NaCl's secret box."""

import secrets
from typing import Protocol

import nacl.exceptions
import nacl.secret
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from boxship.errors import Invalid

NONCE_BYTES = 12
AES_BYTES = (16, 24, 32)
BOX_BYTES = 32


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
