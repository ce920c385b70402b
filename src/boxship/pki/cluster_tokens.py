"""JSON Web Tokens of service accounts: signed by one key, checked against several (RFC 7515, 7517, 7519).

Only the signature is looked at here; what the claims are worth is `cluster.api.authentication`'s. The algorithm follows
from the key that the token names, never from what the token says of itself.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from boxship.errors import Invalid, Unauthenticated
from boxship.pki.keys import Key, PublicKey

CURVES = {  # curve → (algorithm, name in a key set, hash, bytes of a number)
    "secp256r1": ("ES256", "P-256", hashes.SHA256(), 32),
    "secp384r1": ("ES384", "P-384", hashes.SHA384(), 48),
    "secp521r1": ("ES512", "P-521", hashes.SHA512(), 66),
}
TOKEN_LIMIT = 64 * 1024  # bytes
REMEMBERED = 4096  # tokens whose signature was checked


class _Header(msgspec.Struct):
    alg: str = ""
    kid: str = ""


class TokenKeys:
    """The key that signs, and all whose tokens are accepted."""

    def __init__(self, signing: Key, others: Iterable[PublicKey] = ()) -> None:
        if not isinstance(signing, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise Invalid("cannot sign tokens: the key is neither an elliptic curve nor an RSA key")
        self._signing = signing
        public = signing.public_key()
        self._keys: dict[str, PublicKey] = {key_name(public): public}
        self._keys |= {key_name(key): key for key in others}
        header = {"alg": algorithm_of(public), "kid": key_name(public)}
        self._header = _encode(msgspec.json.encode(header))
        self._checked: dict[bytes, bytes] = {}  # digest of a good token → its claims

    def sign(self, claims: dict[str, Any]) -> str:
        """A token with these claims."""
        begun = self._header + b"." + _encode(msgspec.json.encode(claims))
        return (begun + b"." + _encode(_signature(self._signing, begun))).decode()

    def read(self, token: str) -> dict[str, Any]:
        """The claims of a token that one of the keys has signed. Raises Unauthenticated."""
        data = token.encode(errors="replace")
        digest = hashlib.sha256(data).digest()
        payload = self._checked.get(digest)
        if payload is None:
            payload = self._check(data)
            if len(self._checked) >= REMEMBERED:
                self._checked.pop(next(iter(self._checked)))
            self._checked[digest] = payload
        try:
            claims = msgspec.json.decode(payload, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unauthenticated("invalid bearer token: its claims cannot be read") from error
        return claims

    def key_set(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set."""
        return {"keys": [_web_key(name, key) for name, key in self._keys.items()]}

    @property
    def algorithms(self) -> list[str]:
        return sorted({algorithm_of(key) for key in self._keys.values()})

    def _check(self, token: bytes) -> bytes:
        """The payload, decoded; nothing of it is trusted before the signature."""
        parts = token.split(b".")
        if len(token) > TOKEN_LIMIT or len(parts) != 3:
            raise Unauthenticated("invalid bearer token: it is no JSON Web Token")
        try:
            header = msgspec.json.decode(_decode(parts[0]), type=_Header)
            signature, payload = _decode(parts[2]), _decode(parts[1])
        except (msgspec.MsgspecError, ValueError, binascii.Error) as error:
            raise Unauthenticated("invalid bearer token: it is no JSON Web Token") from error
        begun = parts[0] + b"." + parts[1]
        named = self._keys.get(header.kid)
        keys = [named] if named is not None else ([] if header.kid else list(self._keys.values()))
        for key in keys:
            if header.alg == algorithm_of(key) and _is_signed(key, signature, begun):
                return payload
        raise Unauthenticated("invalid bearer token: no key of this cluster has signed it")


def key_name(key: PublicKey) -> str:
    """The `kid`: a digest of the key, as the original makes it."""
    return _encode(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()).decode()


def algorithm_of(key: PublicKey) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return CURVES[key.curve.name][0]
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    raise Invalid("cannot check tokens: an Ed25519 key is not used for them")


def _signature(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    _, _, digest, size = CURVES[key.curve.name]
    first, second = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
    return first.to_bytes(size) + second.to_bytes(size)


def _is_signed(key: PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            _, _, digest, size = CURVES[key.curve.name]
            if len(signature) != 2 * size:
                return False
            numbers = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
            key.verify(encode_dss_signature(*numbers), data, ec.ECDSA(digest))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _web_key(name: str, key: PublicKey) -> dict[str, Any]:
    known = {"use": "sig", "kid": name, "alg": algorithm_of(key)}
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return known | {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    assert isinstance(key, ec.EllipticCurvePublicKey)
    _, curve, _, size = CURVES[key.curve.name]
    point = key.public_numbers()
    return known | {"kty": "EC", "crv": curve, "x": _number(point.x, size), "y": _number(point.y, size)}


def _number(number: int, size: int = 0) -> str:
    return _encode(number.to_bytes(size or (number.bit_length() + 7) // 8)).decode()


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(data: bytes) -> bytes:
    return base64.b64decode(data + b"=" * (-len(data) % 4), altchars=b"-_", validate=True)
