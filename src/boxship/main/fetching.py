"""How the builder reaches web servers: the HTTP client with redirects, credentials of an address kept to its host."""

import base64
import contextlib
from collections.abc import AsyncIterator, Mapping
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from boxship.builder.sources import Answer
from boxship.errors import Invalid, Unavailable
from boxship.transport.client import HttpClient, Proxies, Trust

REDIRECTS = 10
MOVED = (301, 302, 303, 307, 308)


class WebFetcher:
    """Implements the builder's Fetcher. `close` at the end."""

    def __init__(self, proxies: Proxies, ca_files: tuple[str, ...] = ()) -> None:
        self._client = HttpClient(proxies=proxies)
        self._trust = Trust(ca_files=ca_files)

    @contextlib.asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        """GET, following redirects. Raises Unavailable, Invalid."""
        address, credentials = _split(url)
        origin = urlsplit(address)[:2]
        for _ in range(REDIRECTS):
            same = urlsplit(address)[:2] == origin
            sent = {**headers, **credentials}
            if not same:  # who we are is for the host alone that was named
                sent.pop("Authorization", None)
            async with self._client.request("GET", address, headers=sent, trust=self._trust) as answer:
                target = answer.headers.get("Location", "")
                if answer.status not in MOVED or not target:
                    lowered = {name.lower(): value for name, value in answer.headers.items()}
                    yield Answer(answer.status, lowered, answer.chunks())
                    return
            try:
                following, _unused = _split(urljoin(address, target))
            except ValueError as error:
                raise Invalid(f"cannot fetch {address}: it leads to what is no address: {error}") from None
            if urlsplit(address).scheme == "https" and urlsplit(following).scheme != "https":
                raise Invalid(f"cannot fetch {address}: it leads from https to another scheme")
            address = following
        raise Unavailable(f"cannot fetch {address}: more than {REDIRECTS} redirects")

    async def close(self) -> None:
        await self._client.close()


def _split(url: str) -> tuple[str, dict[str, str]]:
    """The address without user and fragment, and the header that says who we are."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    address = urlunsplit(parts._replace(netloc=host, fragment=""))
    if not parts.username:
        return address, {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return address, {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
