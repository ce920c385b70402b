"""Who asks: reads the Authorization header, challenges, and gives out tokens (distribution's token specification).

Which rights somebody has is decided in the registry room; passwords are never kept or logged here.
"""

import base64
import binascii
import re
import time
from urllib.parse import parse_qs

from boxship.doors.oci.call import json_reply
from boxship.doors.oci.errors import refusal
from boxship.errors import Invalid, Unauthenticated
from boxship.registry.access import Access, Identity
from boxship.registry.logins import TooManyGuesses, Users
from boxship.registry.names import check_name
from boxship.registry.tokens import LIFETIME_SECONDS, Tokens
from boxship.transport.exchange import Reply, Request

FORM_BYTES = 64 * 1024
SCOPE_LIMIT = 100  # scopes of one token, and fields of one form

_SAFE = re.compile(r"[\w.:\[\]-]{1,255}", re.ASCII)


class Gate:
    """Of one registry. Without `users` there is nobody to be recognised; with `tokens` clients are asked for those, and
    passwords still do."""

    def __init__(self, access: Access, users: Users | None = None, tokens: Tokens | None = None) -> None:
        self.access = access
        self._users = users
        self._tokens = tokens

    @property
    def asks(self) -> bool:
        """Whether somebody can say who he is."""
        return self._users is not None

    async def identify(self, request: Request) -> Identity:
        """Who asks. Raises Unauthenticated where what he says about it is wrong, TooManyGuesses."""
        text = request.headers.get("Authorization", "")
        if not text or self._users is None:
            return Identity()
        scheme, _, rest = text.partition(" ")
        if scheme.lower() == "basic":
            user, password = read_basic(rest)
            return await self._log_in(request, user, password)
        if scheme.lower() == "bearer" and self._tokens is not None:
            return self._tokens.read(rest.strip(), int(time.time()))
        raise Unauthenticated(f"cannot log in: unsupported scheme {scheme[:32]}")

    async def _log_in(self, request: Request, user: str, password: str) -> Identity:
        assert self._users is not None
        if not await self._users.knows(user, password, request.peer):
            raise Unauthenticated("cannot log in: the user or the password is wrong")
        return Identity(user)

    def challenge(self, request: Request, message: str, scope: str = "", error: str = "") -> Reply:
        """401, with what the client has to bring."""
        if self._tokens is None:
            value = 'Basic realm="Boxship registry"'
        else:
            host = request.headers.get("Host", "")
            address = host if _SAFE.fullmatch(host) else "localhost"
            value = (
                f'Bearer realm="http{"s" if request.secure else ""}://{address}/token",service="{self._tokens.service}"'
            )
            value += f',scope="{scope}"' if scope else ""
            value += f',error="{error}"' if error else ""
        return refusal(401, "UNAUTHORIZED", message, {"WWW-Authenticate": value})

    async def token(self, request: Request) -> Reply:
        """The token endpoint: GET with a password in the header, or POST with one in a form."""
        if self._tokens is None or self._users is None:
            return refusal(404, "UNSUPPORTED", "this registry gives out no tokens")
        if request.method not in ("GET", "POST"):
            return refusal(405, "UNSUPPORTED", "a token is asked for by GET or POST", {"Allow": "GET, POST"})
        try:
            if request.method == "POST":
                form = await _read_form(request)
                if _one(form, "grant_type") != "password":
                    return json_reply({"error": "unsupported_grant_type"}, 400)
                identity = await self._log_in(request, _one(form, "username"), _one(form, "password"))
                scopes = form.get("scope", [])
            else:
                identity = await self.identify(request)
                if identity.grants is not None:  # it would get wider, and last for ever
                    raise Unauthenticated("cannot give a token for a token: a password is needed")
                scopes = request.query.get("scope", [])
        except Unauthenticated as error:
            return refusal(401, "UNAUTHORIZED", str(error), {"WWW-Authenticate": 'Basic realm="Boxship registry"'})
        return self._give(identity, [word for text in scopes for word in text.split()][:SCOPE_LIMIT])

    def _give(self, identity: Identity, scopes: list[str]) -> Reply:
        assert self._tokens is not None
        grants: dict[str, frozenset[str]] = {}
        catalogue = False
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            if scope == "registry:catalog:*":
                catalogue = True
            elif kind.partition("(")[0] == "repository":
                wanted = frozenset(actions.split(","))
                found = self.access.granted(identity.user, check_name(name), wanted)
                grants[name] = grants.get(name, frozenset()) | found
        now = int(time.time())
        token = self._tokens.issue(identity.user, grants, catalogue, now)
        issued = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        answer = {"token": token, "access_token": token, "expires_in": LIFETIME_SECONDS, "issued_at": issued}
        return json_reply(answer, headers={"Cache-Control": "no-store"})


def read_basic(text: str) -> tuple[str, str]:
    """User and password. Raises Unauthenticated."""
    try:
        user, colon, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Unauthenticated("cannot log in: the header Authorization cannot be read") from None
    if not colon or not user:
        raise Unauthenticated("cannot log in: the header Authorization names no user")
    return user, password


async def _read_form(request: Request) -> dict[str, list[str]]:
    data = await request.body(FORM_BYTES)
    try:
        return parse_qs(data.decode(), max_num_fields=SCOPE_LIMIT)
    except (UnicodeDecodeError, ValueError) as error:
        raise Invalid(f"cannot read form: {error}") from None


def _one(form: dict[str, list[str]], name: str) -> str:
    values = form.get(name, [])
    return values[0] if values else ""


def too_many(error: TooManyGuesses) -> Reply:
    return refusal(429, "TOOMANYREQUESTS", str(error), {"Retry-After": str(error.seconds)})
