"""A request's certificate and headers to the user who sends it."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

import msgspec

from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.authentication.bootstrap import BootstrapTokens
from boxship.cluster.api.authentication.impersonation import acting_user
from boxship.cluster.api.authentication.tokens import EXTRA, TokenIssuer
from boxship.cluster.api.authorization.authorizer import ANONYMOUS, Authorizer
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.request import User
from boxship.cluster.objects.failure import Failure, unauthorized
from boxship.errors import Unauthenticated
from boxship.pki.cluster_clients import ClientCertificates

AUTHENTICATED = "system:authenticated"
NOBODY = User(ANONYMOUS, ("system:unauthenticated",))
FRONT_PROXIES = ("front-proxy-client",)
# As whom API servers come to agents. Here it is nobody: the addresses that nodes write of themselves could lead an API
# server to itself, and whoever may use nodes/proxy would be all that the server is.
FOR_AGENTS = "kube-apiserver-kubelet-client"
WEBSOCKET_TOKEN = "base64url.bearer.authorization.k8s.io."
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
Headers = Mapping[str, list[str]]  # lower-case names


class Authenticator:
    """Made once. `certificates` knows the authorities of clients."""

    def __init__(self, lookup: Lookup, certificates: ClientCertificates, tokens: TokenIssuer, clock: Clock) -> None:
        self._certificates = certificates
        self._tokens = tokens
        self._bootstrap = BootstrapTokens(lookup, clock)
        self._clock = clock

    async def authenticate(self, headers: Headers, certificate: bytes | None) -> User:
        """Who it is: the anonymous user where nothing was shown. Raises Failure Unauthorized where what was shown is
        wrong."""
        wrong: list[str] = []
        if certificate is not None:
            try:
                return self._by_certificate(headers, certificate)
            except Unauthenticated as error:
                wrong.append(str(error))
        token = bearer_token(headers)
        if token is not None:
            user = await self._by_token(token, wrong)
            if user is not None:
                return user
        elif "authorization" in headers:
            wrong.append("only bearer tokens and client certificates are known here")
        if wrong:
            raise unauthorized()
        return NOBODY

    async def review(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]]:
        """Whose a token is, and for which of the audiences. Raises Failure Unauthorized, with the reason."""
        found = await self._tokens.review(token, audiences)
        if found is not None:
            return found
        user = await self._bootstrap.user(token)
        own = self._tokens.audiences
        shared = tuple(one for one in audiences or own if one in own)
        if user is None or not shared:
            raise unauthorized("invalid bearer token")
        return user, shared

    async def impersonate(self, user: User, headers: Headers, authorizer: Authorizer) -> User:
        """As whom the user acts: itself, unless headers say otherwise. Raises Failure Forbidden, BadRequest."""
        return await acting_user(user, headers, authorizer)

    def _by_certificate(self, headers: Headers, certificate: bytes) -> User:
        identity = self._certificates.identify(certificate, self._clock.now())
        if identity.is_front_proxy:
            if identity.name not in FRONT_PROXIES:
                raise Unauthenticated(f"x509: subject with cn={identity.name} is not in the allowed list")
            return _user_of_proxy(headers)
        if identity.name == FOR_AGENTS:
            raise Unauthenticated(f"x509: the certificate of {FOR_AGENTS} is for agents alone")
        extra = {f"{EXTRA}credential-id": (identity.credential,)}
        return User(identity.name, _with_authenticated(identity.groups), identity.uid, extra)

    async def _by_token(self, token: str, wrong: list[str]) -> User | None:
        try:
            user, _ = await self.review(token)
        except Failure as failure:
            wrong.append(str(failure))
            return None
        return user


def bearer_token(headers: Headers) -> str | None:
    """The token of a request: in its Authorization header, or where browsers put it for a WebSocket."""
    for value in headers.get("authorization", ()):
        found = _BEARER.fullmatch(value.strip())
        if found:
            return found[1]
    for value in headers.get("sec-websocket-protocol", ()):
        for protocol in value.split(","):
            if protocol.strip().startswith(WEBSOCKET_TOKEN):
                return _websocket_token(protocol.strip().removeprefix(WEBSOCKET_TOKEN))
    return None


def _websocket_token(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""  # a wrong token, not none


def _user_of_proxy(headers: Headers) -> User:
    """For whom the front proxy speaks (kubernetes.io, "Configure the Aggregation Layer")."""
    names = headers.get("x-remote-user", ())
    if not names or not names[0]:
        raise Unauthenticated("the front proxy names no user")
    extra: dict[str, tuple[str, ...]] = {}
    for name, values in headers.items():
        if name.startswith("x-remote-extra-"):
            extra[unquote(name.removeprefix("x-remote-extra-"))] = tuple(values)
    groups = tuple(headers.get("x-remote-group", ()))
    uid = (headers.get("x-remote-uid") or [""])[0]
    user = User(names[0], groups, uid, extra)
    return user if names[0] == ANONYMOUS else msgspec.structs.replace(user, groups=_with_authenticated(groups))


def _with_authenticated(groups: tuple[str, ...]) -> tuple[str, ...]:
    return groups if AUTHENTICATED in groups else (*groups, AUTHENTICATED)
