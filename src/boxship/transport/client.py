"""An HTTP/1.1 client: streams both ways, never follows a redirect by itself, and has a limit on every wait.

Each phase has a time-out of its own, and the error names it: connecting (with TLS), the first byte of the answer, the
time between two pieces of a body, and the least speed of a body. Answers are bytes as they came: nothing is unpacked.
This module must never read the environment: proxies and certificates are values.
"""

import asyncio
import base64
import errno
import ipaddress
import os
import socket
import ssl
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from boxship.errors import BoxshipError, Exhausted, Internal, Invalid, Timeout, Unavailable

READ_BYTES = 256 * 1024  # of an answer, held before the reader takes them
HEADER_BYTES = 64 * 1024  # one field of an answer: signed addresses of storage services are long
KEPT_SECONDS = 30.0  # an idle connection
CONTEXTS = 64  # TLS settings kept ready
Fields = Mapping[str, str | Sequence[str]]
Body = bytes | Callable[[], AsyncIterator[bytes]] | None


class Waits(msgspec.Struct, frozen=True):
    """How long each phase may take; a body must bring `slowest_bytes` in each `window_seconds`."""

    connect_seconds: float = 15.0
    first_byte_seconds: float = 60.0
    stall_seconds: float = 60.0
    window_seconds: float = 60.0
    slowest_bytes: int = 4096


class Proxies(msgspec.Struct, frozen=True):
    """Proxy addresses by the scheme of the request; `none_for` are hosts, ".domains", networks or "*"."""

    http: str = ""
    https: str = ""
    none_for: tuple[str, ...] = ()

    def choose(self, url: str) -> str:
        """The proxy for an address, or "". Loopback is never reached through one."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        host = (parts.hostname or "").lower()
        if not proxy or is_loopback(host) or any(_spares(rule, host, parts.port) for rule in self.none_for):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"


class Trust(msgspec.Struct, frozen=True):
    """Whom a TLS connection believes: the system's authorities and these files, or with `ca_data` (PEM) only those in
    it; and who we are, where asked. `server_name` is what the server's certificate must say, if not the address."""

    ca_files: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    verify: bool = True
    ca_data: str = ""
    server_name: str = ""


NOBODY_THERE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)
WAITS, PROXIES, TRUST = Waits(), Proxies(), Trust()


class Refused(Unavailable):
    """Nobody listens at the address, or its name is not known."""


class NotTls(Unavailable):
    """The server does not speak TLS."""


class WrongCertificate(Internal):
    """The server's certificate is not one that we trust."""


class Answer:
    """The head of an answer, and its body as it comes."""

    def __init__(self, response: aiohttp.ClientResponse, waits: Waits) -> None:
        self._response = response
        self._waits = waits
        self.status = response.status
        self.reason = response.reason or ""
        self.headers: Mapping[str, str] = response.headers
        self.url = str(response.url)

    @property
    def length(self) -> int | None:
        """Bytes of the body, where the server said so."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    def all(self, name: str) -> list[str]:
        """Every field of that name."""
        return list(self._response.headers.getall(name, []))

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body. Raises Timeout where it stalls or drips, Unavailable where it breaks off."""
        loop = asyncio.get_running_loop()
        opened, received = loop.time(), 0
        host = _host(self.url)
        while True:
            try:
                async with asyncio.timeout(self._waits.stall_seconds):
                    data = await self._response.content.readany()
            except TimeoutError:
                raise Timeout(f"cannot read from {host}: nothing came for {self._waits.stall_seconds:g} s") from None
            except (aiohttp.ClientError, OSError) as error:
                raise _failure("cannot read from", host, error) from error
            if not data:
                return
            yield data
            received += len(data)
            if loop.time() - opened > self._waits.window_seconds:
                if received < self._waits.slowest_bytes:
                    raise Timeout(
                        f"cannot read from {host}: {received} bytes in {self._waits.window_seconds:g} s are too few"
                    )
                opened, received = loop.time(), 0

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises Invalid above `limit` bytes."""
        if (self.length or 0) > limit:
            raise Invalid(f"cannot read the answer of {_host(self.url)}: it has more than {limit} bytes")
        parts, size = [], 0
        async for data in self.chunks():
            size += len(data)
            if size > limit:
                raise Invalid(f"cannot read the answer of {_host(self.url)}: it has more than {limit} bytes")
            parts.append(data)
        return b"".join(parts)


class HttpClient:
    """Connections to many servers, kept for a while. Belongs to one loop; `close` at the end."""

    def __init__(
        self,
        *,
        waits: Waits = WAITS,
        proxies: Proxies = PROXIES,
        connections_per_host: int = 32,
        user_agent: str = "boxship",
        silence_seconds: int = 0,
    ) -> None:
        """`silence_seconds`: a machine of which nothing is heard for about so long is taken for gone, also while an
        answer is awaited that may take hours; 0 leaves that to the kernel, which is far more patient."""
        self._silence = silence_seconds
        self._waits = waits
        self._proxies = proxies
        self._limit = connections_per_host
        self._agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._slots: dict[tuple[str, str, int | None], asyncio.Semaphore] = {}
        self._contexts: OrderedDict[Trust, ssl.SSLContext] = OrderedDict()

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Fields | None = None,
        body: Body = None,
        trust: Trust = TRUST,
    ) -> AsyncIterator[Answer]:
        """One request; its answer lives until the block ends. A field with several values is sent several times. A
        streamed body whose length is known needs the header Content-Length. Raises Unavailable, Timeout, Internal
        (certificates) or Invalid (address)."""
        try:
            parts = urlsplit(url)
            place = parts.scheme, parts.hostname or "", parts.port
        except ValueError as error:
            raise Invalid(f"cannot reach {url.rpartition('@')[2]}: {error}") from None
        if place[0] not in ("http", "https") or not place[1]:
            raise Invalid(f"cannot reach {_without_user(url)}: it is no address of a web server")
        slot = self._slots.setdefault(place, asyncio.Semaphore(self._limit))
        async with slot:
            response = await self._send(method, url, headers or {}, body, trust)
            try:
                yield Answer(response, self._waits)
            finally:
                if response.content.at_eof():
                    response.release()
                else:
                    response.close()

    async def _send(self, method: str, url: str, headers: Fields, body: Body, trust: Trust) -> aiohttp.ClientResponse:
        what = f'{method.capitalize()} "{_without_user(url).partition("?")[0]}"'
        waits = self._waits
        proxy = self._proxies.choose(url)
        known = _user_of(proxy)
        fields = CIMultiDict({"User-Agent": self._agent, "Accept-Encoding": "identity"})
        for name, value in {**headers, **(known if url.startswith("http:") else {})}.items():
            fields.popall(name, None)
            fields.extend((name, one) for one in ([value] if isinstance(value, str) else value))
        try:
            async with asyncio.timeout(waits.connect_seconds + waits.first_byte_seconds) as deadline:
                return await self._open().request(
                    method,
                    URL(url, encoded=True),
                    headers=fields,
                    data=self._watched(body, deadline),
                    allow_redirects=False,
                    proxy=_without_user(proxy) or None,
                    proxy_headers=known or None,
                    ssl=await self._context(trust) if url.startswith("https:") else True,
                    server_hostname=trust.server_name or None,
                )
        except aiohttp.ConnectionTimeoutError:
            raise Timeout(f"{what}: not connected after {waits.connect_seconds:g} s") from None
        except TimeoutError:
            raise Timeout(f"{what}: no answer after {waits.first_byte_seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(f"{what}:", _host(url), error) from error

    def _watched(self, body: Body, deadline: asyncio.Timeout) -> Any:
        """A body that moves the deadline on with each piece, so that only a server that takes nothing is given up."""
        if body is None or isinstance(body, bytes):
            return body
        loop = asyncio.get_running_loop()

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in body():
                with suppress(RuntimeError):  # the answer is here already
                    deadline.reschedule(loop.time() + self._waits.stall_seconds)
                yield piece
            with suppress(RuntimeError):
                deadline.reschedule(loop.time() + self._waits.first_byte_seconds)

        return pieces()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    keepalive_timeout=KEPT_SECONDS,
                    force_close=False,
                    socket_factory=self._socket if self._silence else None,
                ),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=self._waits.connect_seconds, sock_connect=self._waits.connect_seconds
                ),
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=READ_BYTES,
                max_line_size=HEADER_BYTES,
                max_field_size=HEADER_BYTES,
            )
        return self._session

    def _socket(self, address: Any) -> socket.socket:
        """One that the kernel gives up when its other end is silent: asked after half of the time, four times more."""
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, self._silence // 2))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, self._silence // 8))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._silence * 1000)
        return made

    async def _context(self, trust: Trust) -> ssl.SSLContext:
        known = self._contexts.get(trust)
        if known is None:
            known = self._contexts[trust] = await asyncio.to_thread(make_context, trust)
            while len(self._contexts) > CONTEXTS:
                self._contexts.popitem(last=False)
        return known

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def is_loopback(host: str) -> bool:
    """Whether the host's name or address can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _spares(rule: str, host: str, port: int | None) -> bool:
    """Whether a rule of `none_for` means the host: "*", a name (also with port), ".domain", an address, a network."""
    rule = rule.strip().lower()
    if rule == "*":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    name, _, wanted = rule.partition(":")
    if wanted and wanted != str(port):
        return False
    name = name.removeprefix("*")
    return bool(name) and (host == name.lstrip(".") or host.endswith("." + name.lstrip(".")))


def make_context(trust: Trust) -> ssl.SSLContext:
    """Blocks for a few milliseconds. Raises Invalid."""
    what = "data of an authority"
    try:
        context = ssl.create_default_context(cadata=trust.ca_data or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        for what in trust.ca_files:
            context.load_verify_locations(what)
        if trust.certificate:
            what = trust.certificate
            context.load_cert_chain(trust.certificate, trust.key or None)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise Invalid(f"cannot use certificate {what}: {error}") from error
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _failure(what: str, host: str, error: Exception) -> BoxshipError:
    """An error of the library as ours; the words are those that users of Docker know."""
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        what, host = f"{what} proxyconnect tcp:", f"{error.host}:{error.port}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return WrongCertificate(f"{what} tls: failed to verify certificate: x509: {error.certificate_error}")
    if isinstance(error, aiohttp.ClientConnectorSSLError | ssl.SSLError):
        text = str(error)
        if any(word in text for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")):
            return NotTls(f"{what} http: server gave HTTP response to HTTPS client")
        return WrongCertificate(f"{what} tls: {error}")
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        if number < 0:  # of the resolver
            return Refused(f"{what} dial tcp: lookup {host.rpartition(':')[0] or host}: no such host")
        if number in NOBODY_THERE:
            return Refused(f"{what} dial tcp {host}: connect: {os.strerror(number).lower()}")
        if isinstance(error.os_error, ConnectionResetError | ConnectionAbortedError):
            return NotTls(f"{what} dial tcp {host}: connection reset by peer")
        return Unavailable(f"{what} dial tcp {host}: {error.os_error}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return Unavailable(f"{what} unexpected EOF")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return Unavailable(f"{what} EOF")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Unavailable(f"{what} proxy answered {error.status} {error.message}")
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return Invalid(f"{what} no address of a web server")
    if isinstance(error, OSError) and error.errno is not None:
        kind = Exhausted if error.errno in (errno.EMFILE, errno.ENFILE) else Unavailable
        return kind(f"{what} {error.strerror or error}".replace("\n", " "))
    return Unavailable(f"{what} {error or type(error).__name__}".replace("\n", " "))


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _user_of(url: str) -> dict[str, str]:
    """The field that tells a proxy who we are."""
    parts = urlsplit(url)
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if url else ""
