"""Who we are to one address: basic, or bearer tokens that are fetched, kept until they end, and fetched again midway.

A password goes to the registry itself or to the token server that the registry names, and to that one only over a
connection at least as safe as the registry's own.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from boxship.errors import Denied, Invalid, Unauthenticated
from boxship.images.remote.challenge import Challenge
from boxship.images.remote.endpoints import Endpoint, leads_inside
from boxship.images.remote.failures import ERROR_BYTES, failure
from boxship.images.remote.model import NOBODY, Credentials
from boxship.transport.client import HttpClient, Trust, is_loopback

CLIENT = "boxship"
TOKEN_BYTES = 256 * 1024  # of a token server's answer
LEAST_SECONDS = 60.0  # that a token lives, whatever its server says
MARGIN = 0.1  # of its life in which it is not used any more
TOKENS = 64  # kept for one address


class Grant(msgspec.Struct, frozen=True):
    """A token and until when it is used, on the monotonic clock."""

    token: str
    until: float


class TokenAnswer(msgspec.Struct):
    """What token servers say, in both of their dialects."""

    token: str = ""
    access_token: str = ""
    expires_in: float = LEAST_SECONDS


class Authorizer:
    """The Authorization header for one address and one identity."""

    def __init__(
        self, http: HttpClient, endpoint: Endpoint, credentials: Credentials | None, now: Callable[[], float]
    ) -> None:
        self._http = http
        self._endpoint = endpoint
        self._credentials = credentials or NOBODY
        self._now = now
        self._challenge: Challenge | None = None
        self._grants: dict[tuple[str, ...], Grant] = {}
        self._fetching = asyncio.Lock()

    async def header(self, scopes: Iterable[str]) -> str | None:
        """What to send with a request that needs these scopes; None before the address has asked for anything."""
        if self._credentials.registry_token:
            return f"Bearer {self._credentials.registry_token}"
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            return self._basic()
        return f"Bearer {await self._token(challenge, scopes)}"

    async def accept(self, challenges: Sequence[Challenge], scopes: Iterable[str], sent: str | None) -> bool:
        """Take up a 401; whether another try with `header` may do better. `sent` is what was refused."""
        if self._credentials.registry_token:
            return False
        chosen = self._choose(challenges)
        if chosen is None:
            return False
        if chosen.scheme == "basic":
            if self._basic() == sent:
                return False
            self._challenge = chosen
            return True
        known = self._challenge
        self._challenge = chosen
        if sent is None or known is None or known.scheme != "bearer":
            return True
        # A token that was refused has ended early, or is for less than was needed now: one new one, no more.
        key = self._key(chosen, scopes)
        grant = self._grants.get(key)
        if grant is not None and sent == f"Bearer {grant.token}":
            del self._grants[key]
        return True

    def _choose(self, challenges: Sequence[Challenge]) -> Challenge | None:
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                self._check_realm(challenge.parameters["realm"])
                return challenge
        for challenge in challenges:
            if challenge.scheme == "basic":
                if not self._credentials.username:
                    raise Unauthenticated("no basic auth credentials")
                return challenge
        return None

    def _check_realm(self, realm: str) -> None:
        try:
            parts = urlsplit(realm)
            is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            is_address = False
        if not is_address or not parts.hostname:
            raise Invalid(f"cannot log in to {self._endpoint.host}: its token server {realm!r} has no address")
        if leads_inside(parts.hostname, urlsplit(self._endpoint.base).hostname or ""):
            raise Denied(f"cannot log in to {self._endpoint.host}: its token server {parts.netloc} is this machine")
        same = parts.hostname == urlsplit(self._endpoint.base).hostname
        if parts.scheme == "http" and not (self._endpoint.insecure and (same or is_loopback(parts.hostname))):
            raise Denied(f"cannot log in to {self._endpoint.host}: its token server {parts.netloc} is on plain HTTP")

    def _basic(self) -> str:
        pair = f"{self._credentials.username}:{self._credentials.password}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    @staticmethod
    def _key(challenge: Challenge, scopes: Iterable[str]) -> tuple[str, ...]:
        named = challenge.parameters
        wanted = {*scopes, *named.get("scope", "").split()} - {""}
        return (named["realm"], named.get("service", ""), *sorted(union(wanted)))

    async def _token(self, challenge: Challenge, scopes: Iterable[str]) -> str:
        key = self._key(challenge, scopes)
        async with self._fetching:
            grant = self._grants.get(key)
            if grant is None or grant.until <= self._now():
                grant = self._grants[key] = await self._fetch(*key)
                while len(self._grants) > TOKENS:
                    del self._grants[next(iter(self._grants))]
            return grant.token

    async def _fetch(self, realm: str, service: str, *scopes: str) -> Grant:
        """A new token. Raises Unauthenticated where the token server does not know us."""
        started = self._now()
        if self._credentials.identity_token:
            answer = await self._exchange(realm, service, scopes)
        else:
            query = [("scope", scope) for scope in scopes]
            if service:
                query.insert(0, ("service", service))
            headers = {}
            if self._credentials.username:
                query.insert(0, ("account", self._credentials.username))
                headers["Authorization"] = self._basic()
            glue = "&" if "?" in realm else "?"
            answer = await self._ask("GET", f"{realm}{glue}{urlencode(query, quote_via=quote, safe=':,/')}", headers)
        token = answer.token or answer.access_token
        if not token:
            raise Unauthenticated(f"cannot log in to {self._endpoint.host}: the token server's answer has no token")
        if not token.isascii() or any(letter in token for letter in "\r\n"):
            raise Invalid(f"cannot log in to {self._endpoint.host}: the token server's answer is no token")
        life = max(LEAST_SECONDS, answer.expires_in)
        return Grant(token, started + life * (1 - MARGIN))

    async def _exchange(self, realm: str, service: str, scopes: Sequence[str]) -> TokenAnswer:
        """An access token for an identity token (OAuth 2)."""
        form = {
            "grant_type": "refresh_token",
            "service": service,
            "client_id": CLIENT,
            "scope": " ".join(scopes),
            "refresh_token": self._credentials.identity_token,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._ask("POST", realm, headers, urlencode(form).encode())

    async def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> TokenAnswer:
        trust = self._endpoint.trust
        if urlsplit(url).hostname != urlsplit(self._endpoint.base).hostname:
            trust = Trust(trust.ca_files)  # what is forgiven to the registry is not forgiven to others
        async with self._http.request(method, url, headers=headers, body=body, trust=trust) as answer:
            if answer.status != 200:
                said = await answer.read(ERROR_BYTES)
                now = time.time()
                if answer.status in (400, 401, 403):
                    raise Unauthenticated(str(failure(401, answer.reason, said)))
                raise failure(
                    answer.status, answer.reason, said, retry_after=answer.headers.get("Retry-After", ""), now=now
                )
            try:
                return msgspec.json.decode(await answer.read(TOKEN_BYTES), type=TokenAnswer)
            except (msgspec.MsgspecError, RecursionError) as error:
                raise Invalid(f"cannot log in to {self._endpoint.host}: the token server's answer: {error}") from error

    async def login(self, challenges: Sequence[Challenge]) -> None:
        """Prove that the credentials are right, as far as can be told. Raises Unauthenticated."""
        if await self.accept(challenges, (), None):
            await self.header(())


def union(scopes: Iterable[str]) -> set[str]:
    """Scopes with the actions of each resource joined: "repository:a:pull" and "…:push" are "…:pull,push"."""
    joined: dict[str, set[str]] = {}
    for scope in scopes:
        resource, _, actions = scope.rpartition(":")
        joined.setdefault(resource, set()).update(actions.split(","))
    return {f"{resource}:{','.join(sorted(actions))}" for resource, actions in joined.items()}
