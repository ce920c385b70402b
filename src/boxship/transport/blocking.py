"""A small synchronous HTTP/1.1 client over a unix socket or TCP with mutual TLS, for programs that must start at once.

It sends one request at a time on a connection, keeps the connection for the next one, streams bodies both ways
(chunked, by length, until close), and hands the raw connection over after an upgrade. It must stay quick to import:
`_socket` in place of `socket` and no `re`, `http` or `email` save about ten milliseconds of every start.

It never follows redirects, decompresses, or guesses: what it does not understand is an error.
"""

import _socket
import select
from collections.abc import Iterable, Iterator, Mapping

from boxship.errors import Internal, Unavailable

PIECE = 1 << 16  # bytes asked of the kernel at once
HEADER_LIMIT = 1 << 18  # bytes of status line and headers
LINE_LIMIT = 1 << 26  # bytes of one line of a line-wise body
CHUNK_LINE_LIMIT = 1 << 12  # bytes of a chunk's size line
CONNECT_SECONDS = 30.0
KEEPALIVE_SECONDS = 60  # of silence, after which the other machine is asked whether it is there


class TlsFiles:
    """Paths of the authority's certificate, and of the client's certificate and key. `verify` checks the server."""

    __slots__ = ("authority", "certificate", "key", "verify")

    def __init__(self, authority: str = "", certificate: str = "", key: str = "", verify: bool = True) -> None:
        self.authority = authority
        self.certificate = certificate
        self.key = key
        self.verify = verify


class Address:
    """Where a server listens: a unix socket's path, or host and port, with TLS if `tls` is there."""

    __slots__ = ("host", "path", "port", "tls")

    def __init__(self, path: str = "", host: str = "", port: int = 0, tls: TlsFiles | None = None) -> None:
        self.path = path
        self.host = host
        self.port = port
        self.tls = tls

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix://{self.path}" if self.path else f"tcp://{host}:{self.port}"


class Channel:
    """A connected byte stream. `pending` says that bytes are here although the kernel has none (TLS)."""

    def __init__(self, raw: _socket.socket) -> None:
        self._raw = raw

    def fileno(self) -> int:
        return self._raw.fileno()

    def pending(self) -> bool:
        return False

    def receive(self, size: int = PIECE) -> bytes:
        """At least one byte; empty at the end of the stream. A reset counts as the end."""
        try:
            return self._raw.recv(size)
        except ConnectionResetError:
            return b""

    def receive_now(self, size: int = PIECE) -> bytes | None:
        """Like `receive`, but None where it would have to wait."""
        try:
            return self._raw.recv(size, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    def send(self, data: bytes | bytearray | memoryview) -> None:
        self._raw.sendall(data)

    def send_some(self, data: bytes | memoryview) -> int:
        """Send what can go at once; how many bytes were taken, perhaps none."""
        try:
            return self._raw.send(data, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0

    def close_write(self) -> None:
        """Tell the other side that no more bytes come; reading goes on."""
        try:
            self._raw.shutdown(_socket.SHUT_WR)
        except OSError:
            return  # the other side is gone: it needs no telling

    def close(self) -> None:
        self._raw.close()

    def readable_now(self) -> bool:
        """Whether a read would return at once: on an idle connection that means the server closed it."""
        poll = select.poll()
        poll.register(self._raw.fileno(), select.POLLIN)
        return bool(poll.poll(0))


def open_channel(address: Address) -> Channel:
    """Connect. Raises Unavailable with the reason."""
    try:
        raw = _connect_unix(address.path) if address.path else _connect_tcp(address.host, address.port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Unavailable(f"cannot connect to {address}: {reason}. Is the daemon running?") from None
    if address.tls is None:
        return Channel(raw)
    from boxship.transport.blocking_tls import secure

    return secure(raw, address)


def _connect_unix(path: str) -> _socket.socket:
    raw = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        raw.connect(path)
    except BaseException:
        raw.close()
        raise
    return raw


def _connect_tcp(host: str, port: int) -> _socket.socket:
    failure: OSError = OSError(0, "no address")
    for family, kind, protocol, _, target in _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM):
        raw = _socket.socket(family, kind | _socket.SOCK_CLOEXEC, protocol)
        raw.settimeout(CONNECT_SECONDS)
        try:
            raw.connect(target)
        except OSError as error:
            raw.close()
            failure = error
            continue
        raw.settimeout(None)
        raw.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        raw.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)  # answers may take hours: is the machine there?
        raw.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
        raw.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS // 3)
        return raw
    raise failure


class Response:
    """An answer whose body has not been read yet. `headers` have lower-case names; repeated ones are joined by commas.

    Read the body once, by `read`, `pieces` or `lines`; or take the connection over after an upgrade.
    """

    def __init__(self, connection: "Connection", status: int, reason: str, headers: dict[str, str], bodiless: bool):
        self.status = status
        self.reason = reason
        self.headers = headers
        self._connection = connection
        self._bodiless = bodiless

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives. The connection is free for the next request when the last piece is out."""
        connection = self._connection
        if self._bodiless:
            pass
        elif "chunked" in self.headers.get("transfer-encoding", "").lower():
            yield from connection.read_chunked()
        elif "content-length" in self.headers:
            yield from connection.read_counted(_natural(self.headers["content-length"], 10))
        else:
            connection.reusable = False
            yield from connection.read_to_end()
        if "close" in self.headers.get("connection", "").lower():
            connection.reusable = False
        connection.finish()

    def read(self, limit: int = LINE_LIMIT) -> bytes:
        """The whole body. Raises Internal beyond `limit` bytes."""
        whole = bytearray()
        for piece in self.pieces():
            whole += piece
            if len(whole) > limit:
                raise Internal(f"cannot read the answer: longer than {limit} bytes")
        return bytes(whole)

    def lines(self) -> Iterator[bytes]:
        """The body line by line, as each arrives, without line ends and empty lines."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line.rstrip(b"\r") for line in whole if line.strip())
            if len(rest) > LINE_LIMIT:
                raise Internal(f"cannot read the answer: a line is longer than {LINE_LIMIT} bytes")
        if rest.strip():
            yield rest

    def channel_if_silent(self) -> Channel | None:
        """The connection, to be polled for the body's first bytes; None when some are here already."""
        return self._connection.channel_if_silent()

    def take_over(self) -> tuple[Channel, bytes]:
        """The raw connection after an upgrade or hijack, with the bytes that arrived already. The caller closes it."""
        return self._connection.release()

    def close(self) -> None:
        """Drop the rest of the body, and the connection with it."""
        self._connection.close()


def _natural(text: str, base: int) -> int:
    digits = "0123456789abcdefABCDEF" if base == 16 else "0123456789"
    text = text.strip()
    if not text or any(letter not in digits for letter in text) or len(text) > 19:
        raise Internal(f"cannot read the answer: bad length {text[:32]!r}")
    return int(text, base)


class Connection:
    """One connection to a server: a request, its answer read to the end, then perhaps the next request."""

    def __init__(self, address: Address) -> None:
        self._channel: Channel | None = open_channel(address)
        self._buffer = b""
        self._host = address.host or "localhost"
        self._busy = False
        self.reusable = True

    def usable(self) -> bool:
        """Whether another request can be sent: nothing outstanding, and the server has not closed."""
        return bool(
            self._channel and self.reusable and not self._busy and not self._buffer and not self._channel.readable_now()
        )

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
    ) -> Response:
        """Send a request and read the answer's headers. An iterable body is sent in chunks while the answer may
        begin to arrive; a server that answers early and stops reading is heard."""
        channel = self._channel
        assert channel is not None and not self._busy, "the connection is in use"
        self._busy = True
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        whole, stream = (body, None) if isinstance(body, bytes) else (b"", body)
        if stream is not None:
            lines.append("Transfer-Encoding: chunked")
        elif whole or method not in ("GET", "HEAD"):
            lines.append(f"Content-Length: {len(whole)}")
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or "\0" in head:
            raise Internal(f"cannot send {method}: line end in a header")
        try:
            channel.send(head.encode() + b"\r\n\r\n" + whole)
            if stream is not None:
                self._send_chunks(channel, stream)
        except (BrokenPipeError, ConnectionResetError):
            self.reusable = False  # the server may have answered before it hung up
        return self._read_head(method)

    def _send_chunks(self, channel: Channel, body: Iterable[bytes]) -> None:
        plain = type(channel) is Channel
        for piece in body:
            if not piece:
                continue
            channel.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            # Progress that nobody reads could fill the server's side and stop both.
            if plain and channel.readable_now():
                received = channel.receive()
                if not received:
                    raise ConnectionResetError
                self._buffer += received
        channel.send(b"0\r\n\r\n")

    def _read_head(self, method: str) -> Response:
        while True:
            head = self._read_until(b"\r\n\r\n", HEADER_LIMIT)
            first, *rest = head.decode("latin-1").split("\r\n")
            version, _, status_line = first.partition(" ")
            code, _, reason = status_line.partition(" ")
            if version not in ("HTTP/1.1", "HTTP/1.0") or len(code) != 3 or not (code.isascii() and code.isdigit()):
                raise Internal(f"cannot read the answer: not HTTP: {first[:64]!r}")
            headers: dict[str, str] = {}
            for line in rest:
                name, colon, value = line.partition(":")
                if not colon or not name.strip():
                    raise Internal(f"cannot read the answer: bad header {line[:64]!r}")
                name = name.strip().lower()
                headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
            status = int(code)
            if version == "HTTP/1.0":
                self.reusable = False
            if status >= 200 or status == 101:
                bodiless = method == "HEAD" or status in (101, 204, 304)
                return Response(self, status, reason, headers, bodiless)

    def _fill(self) -> None:
        assert self._channel is not None
        received = self._channel.receive()
        if not received:
            raise Unavailable("cannot read the answer: the daemon closed the connection")
        self._buffer += received

    def _read_until(self, mark: bytes, limit: int) -> bytes:
        while (end := self._buffer.find(mark)) < 0:
            if len(self._buffer) > limit:
                raise Internal("cannot read the answer: a header is too long")
            self._fill()
        head, self._buffer = self._buffer[:end], self._buffer[end + len(mark) :]
        return head

    def read_chunked(self) -> Iterator[bytes]:
        while True:
            line = self._read_until(b"\r\n", CHUNK_LINE_LIMIT)
            size = _natural(line.partition(b";")[0].decode("latin-1"), 16)
            if size == 0:
                while self._read_until(b"\r\n", HEADER_LIMIT):  # trailers
                    pass
                return
            yield from self.read_counted(size)
            if self._read_until(b"\r\n", CHUNK_LINE_LIMIT):
                raise Internal("cannot read the answer: a chunk is longer than it says")

    def read_counted(self, size: int) -> Iterator[bytes]:
        while size > 0:
            if not self._buffer:
                self._fill()
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            yield piece

    def read_to_end(self) -> Iterator[bytes]:
        assert self._channel is not None
        while True:
            piece, self._buffer = self._buffer, b""
            piece = piece or self._channel.receive()
            if not piece:
                return
            yield piece

    def finish(self) -> None:
        """The body is read: ready for the next request, or closed."""
        self._busy = False
        if not self.reusable:
            self.close()

    def channel_if_silent(self) -> Channel | None:
        return None if self._buffer else self._channel

    def release(self) -> tuple[Channel, bytes]:
        channel, self._channel = self._channel, None
        assert channel is not None
        rest, self._buffer = self._buffer, b""
        return channel, rest

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel:
            channel.close()
