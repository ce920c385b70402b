"""Image signatures in cosign's key-pair format: made and checked. Pure; it knows no registry."""

import base64
import hashlib

from cryptography.hazmat.primitives import serialization

from boxship.pki import keys


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


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    """Raises ValueError for what is not base64 in its one canonical form: a signature has one spelling."""
    data = base64.b64decode(text, validate=True)
    if _encode(data) != text:
        raise ValueError("it is not canonical base64")
    return data
