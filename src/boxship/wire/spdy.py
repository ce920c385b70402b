"""SPDY/3.1 frames, as clients of Kubernetes send them for exec, attach and port-forward: several byte streams with
headers on one connection (draft-mbelshe-httpbis-spdy-00, "3.1").

Pure: bytes to frames and back. Headers are compressed by one zlib stream for each direction and connection, so a reader
has to see every frame, and what a writer makes has to be sent in the order in which it was made.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping

import msgspec

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 1  # the flag of a frame after which its side sends nothing more on the stream
HEAD_BYTES = 8
FRAME_BYTES = 1 << 24  # no frame can be longer
CONTROL_BYTES = 64 << 10  # of a control frame that a reader takes
HEADER_BYTES = 256 << 10  # of a block of headers, unpacked
PIECE_BYTES = 32 << 10  # how writers cut their data
REFUSED, CANCEL, INTERNAL = 3, 5, 6  # why a stream is reset

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack(">L", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split()) + _TAIL.encode()
)


class Frame(msgspec.Struct, frozen=True):
    """One frame. `kind` 0 is data; `headers` are those of SYN_STREAM, SYN_REPLY and HEADERS, with lower-case names;
    `data` is the rest: a ping's number, a reset's reason."""

    kind: int
    stream: int
    flags: int = 0
    headers: Mapping[str, str] = {}
    data: bytes = b""

    @property
    def ends(self) -> bool:
        """Whether its side sends nothing more on the stream."""
        return bool(self.flags & FIN) and self.kind in (0, SYN_STREAM, SYN_REPLY, HEADERS)


class Reader:
    """Cuts one direction of a connection into frames, however the bytes were cut on their way."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._unpack = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Every frame that is whole by now. Raises ValueError on bytes that are no frame."""
        self._held += data
        while len(self._held) >= HEAD_BYTES:
            first, second = struct.unpack_from(">LL", self._held)
            length, flags = second & 0xFFFFFF, second >> 24
            if first >> 31:
                if first >> 16 & 0x7FFF != VERSION:
                    raise ValueError(f"SPDY version {first >> 16 & 0x7FFF}: only {VERSION} is known")
                if length > CONTROL_BYTES:
                    raise ValueError(f"a control frame of {length} bytes: at most {CONTROL_BYTES} are taken")
            if len(self._held) < HEAD_BYTES + length:
                return
            body = bytes(memoryview(self._held)[HEAD_BYTES : HEAD_BYTES + length])
            del self._held[: HEAD_BYTES + length]
            if first >> 31:
                yield self._control(first & 0xFFFF, flags, body)
            else:
                yield Frame(0, first & 0x7FFFFFFF, flags, data=body)

    def _control(self, kind: int, flags: int, body: bytes) -> Frame:
        if kind == SETTINGS:
            return Frame(kind, 0, flags, data=body)
        if len(body) < 4:
            raise ValueError(f"a control frame of kind {kind} with {len(body)} bytes")
        stream = struct.unpack_from(">L", body)[0] & 0x7FFFFFFF
        if kind == SYN_STREAM:
            if len(body) < 10:
                raise ValueError("a SYN_STREAM without its fields")
            return Frame(kind, stream, flags, self._headers(body[10:]))
        if kind in (SYN_REPLY, HEADERS):
            return Frame(kind, stream, flags, self._headers(body[4:]))
        if kind == PING:
            return Frame(kind, 0, flags, data=body[:4])
        return Frame(kind, stream, flags, data=body[4:])

    def _headers(self, packed: bytes) -> dict[str, str]:
        try:
            block = self._unpack.decompress(packed, HEADER_BYTES)
        except zlib.error as error:
            raise ValueError(f"headers that cannot be unpacked: {error}") from None
        if self._unpack.unconsumed_tail:
            raise ValueError(f"headers of more than {HEADER_BYTES} bytes")
        found: dict[str, str] = {}
        try:
            (count,) = struct.unpack_from(">L", block)
            place = 4
            for _ in range(count):
                parts = []
                for _ in range(2):
                    (length,) = struct.unpack_from(">L", block, place)
                    place += 4
                    if place + length > len(block):
                        raise ValueError("headers that break off")
                    parts.append(block[place : place + length].decode("latin-1"))
                    place += length
                found[parts[0].lower()] = parts[1].partition("\0")[0]
        except struct.error:
            raise ValueError("headers that break off") from None
        return found


class Writer:
    """Makes the frames of the other direction."""

    def __init__(self) -> None:
        self._pack = zlib.compressobj(wbits=11, memLevel=1, zdict=DICTIONARY)  # a few KiB a connection

    def open(self, stream: int, headers: Mapping[str, str], *, ends: bool = False) -> bytes:
        """A new stream. A client's have odd numbers, a server's even ones, each larger than the one before."""
        body = struct.pack(">LLH", stream, 0, 0) + self._packed(headers)
        return _control(SYN_STREAM, FIN if ends else 0, body)

    def reply(self, stream: int, headers: Mapping[str, str] | None = None) -> bytes:
        """A stream is taken."""
        return _control(SYN_REPLY, 0, struct.pack(">L", stream) + self._packed(headers or {}))

    def _packed(self, headers: Mapping[str, str]) -> bytes:
        block = [struct.pack(">L", len(headers))]
        for pair in headers.items():
            for text in pair:
                encoded = (text.lower() if text is pair[0] else text).encode("latin-1", "replace")
                block += [struct.pack(">L", len(encoded)), encoded]
        return self._pack.compress(b"".join(block)) + self._pack.flush(zlib.Z_SYNC_FLUSH)


def data(stream: int, piece: bytes, *, ends: bool = False) -> bytes:
    """Bytes of a stream, fewer than FRAME_BYTES."""
    return struct.pack(">LL", stream, (FIN if ends else 0) << 24 | len(piece)) + piece


def reset(stream: int, reason: int = CANCEL) -> bytes:
    """A stream ends at once, both ways."""
    return _control(RST_STREAM, 0, struct.pack(">LL", stream, reason))


def ping(number: bytes) -> bytes:
    """Sent back as it came."""
    return _control(PING, 0, number)


def goaway(last: int) -> bytes:
    """No further streams are taken; `last` is the last one that was."""
    return _control(GOAWAY, 0, struct.pack(">LL", last, 0))


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">LL", 1 << 31 | VERSION << 16 | kind, flags << 24 | len(body)) + body
