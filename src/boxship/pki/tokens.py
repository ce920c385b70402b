"""Bearer tokens: JSON Web Tokens signed with ES256, made and checked by the registry. Pure but for the key's making.

Only ES256 is taken, whatever a token's head says, and a token without audience or expiry is refused: there is no
algorithm to be talked into, and nothing that holds for ever or for somebody else.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from boxship.errors import Invalid, Unauthenticated
from boxship.pki import keys

ALGORITHM = "ES256"
HALF_BYTES = 32  # each of a signature's two numbers
TOKEN_CHARACTERS = 16 * 1024
SKEW_SECONDS = 5.0  # between the clocks of two machines


class Verifier:
    """Checks tokens of some signers, by their public keys (PEM)."""

    def __init__(self, public_keys: Sequence[bytes]) -> None:
        self._keys: dict[str, ec.EllipticCurvePublicKey] = {}
        for pem in public_keys:
            key = keys.load_public(pem, "of a token's signer")
            if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
                raise Invalid("cannot use the key of a token's signer: it is not on the curve P-256")
            self._keys[key_id(key)] = key

    def verify(self, token: str, *, audience: str, now: float, issuer: str = "") -> dict[str, Any]:
        """The claims of a token that is ours, meant for `audience`, and in force at `now` (Unix seconds).
        Raises Unauthenticated."""
        if len(token) > TOKEN_CHARACTERS or token.count(".") != 2:
            raise _refused("it is no token")
        head_text, claims_text, signature_text = token.split(".")
        head = _object(head_text)
        key = self._keys.get(str(head.get("kid", "")))
        if head.get("alg") != ALGORITHM or "crit" in head or key is None:
            raise _refused("its signer is not known")
        signature = _bytes(signature_text)
        if len(signature) != 2 * HALF_BYTES:
            raise _refused("its signature is wrong")
        numbers = (int.from_bytes(signature[:HALF_BYTES]), int.from_bytes(signature[HALF_BYTES:]))
        if not keys.is_signed(key, encode_dss_signature(*numbers), f"{head_text}.{claims_text}".encode()):
            raise _refused("its signature is wrong")
        claims = _object(claims_text)
        _check_times(claims, now)
        meant = claims.get("aud")
        if audience not in (meant if isinstance(meant, list) else [meant]):
            raise _refused("it is meant for another service")
        if issuer and claims.get("iss") != issuer:
            raise _refused("another service issued it")
        return claims


class Signer:
    """Signs tokens with one key."""

    def __init__(self, pem: bytes) -> None:
        key = keys.load_key(pem, None, "of the token signer")
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise Invalid("cannot use the key of the token signer: it is not on the curve P-256")
        self._key = key
        self.key_id = key_id(key.public_key())

    @classmethod
    def generate(cls) -> "Signer":
        return cls(keys.dump_key(keys.new_key(), None))

    def pem(self) -> bytes:
        """The private key, not encrypted: it belongs into a file of mode 0600 (`files.write_file`)."""
        return keys.dump_key(self._key, None)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token with these claims; `aud` and `exp` (Unix seconds) must be among them."""
        assert "aud" in claims and "exp" in claims, "a token needs an audience and an end"
        head = _encode(msgspec.json.encode({"alg": ALGORITHM, "typ": "JWT", "kid": self.key_id}))
        text = f"{head}.{_encode(msgspec.json.encode(dict(claims)))}"
        numbers = decode_dss_signature(keys.sign(self._key, text.encode()))
        return f"{text}.{_encode(b''.join(number.to_bytes(HALF_BYTES) for number in numbers))}"

    def verifier(self) -> Verifier:
        return Verifier([keys.dump_public(self._key.public_key())])


def key_id(key: keys.PublicKey) -> str:
    """The name of a key: of its public part, so that it needs no list."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _encode(hashlib.sha256(key.public_bytes(*form)).digest()[:15])


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    ends, begins = _number(claims.get("exp")), _number(claims.get("nbf", 0))
    if ends is None or begins is None:
        raise _refused("it has no end")
    if now >= ends + SKEW_SECONDS:
        raise _refused("it has expired")
    if now < begins - SKEW_SECONDS:
        raise _refused("it does not hold yet")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """The bytes of base64url text in its one canonical form, so that no second spelling of a token is a token."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise _refused("it is damaged") from error
    if _encode(data) != text:
        raise _refused("it is damaged")
    return data


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(_bytes(text), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refused("it is damaged") from error


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"cannot use the token: {why}")
