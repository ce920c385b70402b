"""Bearer tokens that the registry gives out and reads back itself: JSON web tokens with an HMAC (RFC 7519, HS256).

Nobody else has to verify them, so one secret key is enough; whoever gets a token can do what is in it until it ends.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping

import msgspec

from boxship.errors import Unauthenticated
from boxship.registry.access import Identity

LIFETIME_SECONDS = 300
LEEWAY_SECONDS = 30
TOKEN_LIMIT = 64 * 1024  # characters
KEY_BYTES = 32

_encode = msgspec.json.Encoder().encode


class Grant(msgspec.Struct, frozen=True):
    """One entry of the claim `access`."""

    type: str
    name: str
    actions: tuple[str, ...]


class Claims(msgspec.Struct, frozen=True):
    """What a token says."""

    iss: str
    sub: str
    aud: str
    iat: int
    exp: int
    jti: str
    access: tuple[Grant, ...] = ()


class Head(msgspec.Struct, frozen=True):
    """A token's first part."""

    alg: str
    typ: str = "JWT"


_read_head = msgspec.json.Decoder(Head).decode
_read_claims = msgspec.json.Decoder(Claims).decode


class Tokens:
    """Signs and reads with one key, for one service."""

    def __init__(self, key: bytes, service: str) -> None:
        assert len(key) >= KEY_BYTES, "a key of at least 32 bytes"
        self._key = key
        self.service = service

    def issue(self, user: str, grants: Mapping[str, frozenset[str]], catalogue: bool, now: int) -> str:
        """A token for a user ("": nobody in particular); `now` in seconds."""
        access = [Grant("repository", name, tuple(sorted(actions))) for name, actions in sorted(grants.items())]
        if catalogue:
            access.append(Grant("registry", "catalog", ("*",)))
        claims = Claims(
            self.service, user, self.service, now, now + LIFETIME_SECONDS, secrets.token_hex(8), tuple(access)
        )
        body = f"{_text(_encode(Head('HS256')))}.{_text(_encode(claims))}"
        return f"{body}.{_text(self._mark(body))}"

    def read(self, token: str, now: int) -> Identity:
        """Whose token it is and what it grants. Raises Unauthenticated where it is not ours, or over."""
        body, _, mark = token.rpartition(".")
        head, _, payload = body.partition(".")
        if len(token) > TOKEN_LIMIT or not hmac.compare_digest(self._mark(body), _bytes(mark)):
            raise Unauthenticated("cannot use token: it is not signed by this registry")
        try:
            claims = _read_claims(_bytes(payload))
            algorithm = _read_head(_bytes(head)).alg
        except msgspec.DecodeError:
            raise Unauthenticated("cannot use token: it is not one of this registry's") from None
        if algorithm != "HS256" or claims.aud != self.service or not claims.iat - LEEWAY_SECONDS <= now:
            raise Unauthenticated("cannot use token: it is not one of this registry's")
        if now >= claims.exp + LEEWAY_SECONDS:
            raise Unauthenticated("cannot use token: it has expired")
        grants = {grant.name: frozenset(grant.actions) for grant in claims.access if grant.type == "repository"}
        catalogue = any(grant.type == "registry" and grant.name == "catalog" for grant in claims.access)
        return Identity(claims.sub, grants, catalogue)

    def _mark(self, body: str) -> bytes:
        return hmac.new(self._key, body.encode("utf-8", "replace"), hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode("ascii", "replace") + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
