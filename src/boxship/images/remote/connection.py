"""Requests to one address of a registry, with authorisation, redirects and errors in one place.

A redirect is followed by hand: credentials go along only to the same host and port over no lesser scheme, plain HTTP is
not entered from TLS, and there are few of them.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urljoin, urlsplit

from boxship.errors import Denied, Invalid, Timeout, Unavailable
from boxship.images.remote.authorization import Authorizer
from boxship.images.remote.challenge import parse
from boxship.images.remote.endpoints import Endpoint, leads_inside
from boxship.images.remote.failures import ERROR_BYTES, failure
from boxship.transport.client import Answer, Body, HttpClient, NotTls, Refused, Trust

REDIRECTS = 5
LOGINS = 2  # answers 401 that one request takes up
MOVED = (301, 302, 303, 307, 308)


class Connection:
    """One address, one identity."""

    def __init__(self, http: HttpClient, endpoint: Endpoint, authorizer: Authorizer) -> None:
        self._http = http
        self.endpoint = endpoint
        self.authorizer = authorizer
        self._base = "" if endpoint.insecure and endpoint.base.startswith("https:") else endpoint.base

    async def base(self) -> str:
        """The address with the scheme that it speaks; an insecure one is asked over TLS first."""
        if not self._base:
            try:
                async with self._http.request("GET", f"{self.endpoint.base}/v2/", trust=self.endpoint.trust):
                    self._base = self.endpoint.base
            except Refused:
                raise
            except (NotTls, Unavailable, Timeout) as error:
                plain = "http" + self.endpoint.base.removeprefix("https")
                async with self._http.request("GET", f"{plain}/v2/") as answer:
                    if answer.status == 400:  # a server with TLS that is ill says so to plain HTTP
                        raise error
                self._base = plain
        return self._base

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        scopes: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        expect: Sequence[int] = (200,),
    ) -> AsyncIterator[Answer]:
        """One request to a path, or to a whole address that this registry gave. Raises what `failure` makes of an
        answer that was not expected."""
        base = await self.base()
        url = path if "://" in path else base + path
        for left in range(LOGINS, -1, -1):
            sent = await self.authorizer.header(scopes) if self._is_ours(url) else None
            async with self._follow(method, url, dict(headers or {}), sent, body) as answer:
                if answer.status in expect:
                    yield answer
                    return
                challenges = parse(answer.all("WWW-Authenticate"))
                said = b"" if method == "HEAD" else await answer.read(ERROR_BYTES)
                problem = failure(
                    answer.status,
                    answer.reason,
                    said,
                    challenges=challenges,
                    retry_after=answer.headers.get("Retry-After", ""),
                    now=time.time(),
                )
                again = left and answer.status == 401 and self._is_ours(answer.url)
            if not again or not await self.authorizer.accept(challenges, scopes, sent):
                raise problem

    @asynccontextmanager
    async def _follow(
        self, method: str, url: str, headers: dict[str, str], authorization: str | None, body: Body
    ) -> AsyncIterator[Answer]:
        for _ in range(REDIRECTS + 1):
            ours = self._is_ours(url)
            sent = {**headers, "Authorization": authorization} if ours and authorization else headers
            trust = self.endpoint.trust if ours else Trust(self.endpoint.trust.ca_files)
            async with self._http.request(method, url, headers=sent, body=body, trust=trust) as answer:
                if answer.status not in MOVED or "Location" not in answer.headers:
                    yield answer
                    return
                url = self.led(url, answer.headers["Location"], "a redirect")
        raise Invalid(f"cannot read {self.endpoint.host}: more than {REDIRECTS} redirects")

    def led(self, url: str, location: str, what: str) -> str:
        """Where the registry leads from one address to another, by `what`. Raises Invalid for what is no address,
        Denied where it is less safe, or this machine's own."""
        try:
            target = urljoin(url, location)
            here, there = urlsplit(url), urlsplit(target)
            is_address = there.scheme in ("http", "https") and there.hostname and not there.username and there.port != 0
        except ValueError:
            is_address = False
        if not is_address:
            raise Invalid(f"cannot follow {what} of {self.endpoint.host}: {location[:200]!r}")
        if there.scheme == "http" and here.scheme == "https":
            raise Denied(f"cannot follow {what} of {self.endpoint.host}: it leads to plain HTTP")
        if leads_inside(there.hostname or "", here.hostname or ""):
            raise Denied(f"cannot follow {what} of {self.endpoint.host}: it leads to this machine")
        return target

    def _is_ours(self, url: str) -> bool:
        """Whether the address is the registry's own: only there do credentials go."""
        try:
            asked, own = urlsplit(url), urlsplit(self._base)
            return (asked.scheme, asked.hostname, asked.port) == (own.scheme, own.hostname, own.port)
        except ValueError:  # no address at all
            return False
