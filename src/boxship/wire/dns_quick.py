"""DNS messages where each microsecond counts: a plain question read from its bytes, an answer put together from records
that are bytes already. No I/O, no library. What is not one plain question is None here, and `wire.dns` may look at it.

Source: RFC 1035, 2308 (negative answers), 2782 (SRV), 6891 (EDNS).
"""

import struct
from collections.abc import Sequence

import msgspec

HEADER = struct.Struct("!HHHHHH")
FIXED = struct.Struct("!HHIH")  # of a record behind its name: type, class, TTL, length
HEADER_BYTES, NAME_BYTES, LABEL_BYTES = 12, 255, 63
PLAIN_LIMIT, EDNS_LIMIT, STREAM_LIMIT = 512, 1232, 65535  # bytes of an answer
A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
AXFR, IXFR = 252, 251
INTERNET = 1
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NAME_ERROR, NOT_IMPLEMENTED, REFUSED = range(6)
QR, AA, TC, RD, RA, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
SAME = b"\xc0\x0c"  # the name of the question
VERSION_ERROR = 16


class Asked(msgspec.Struct, frozen=True):
    """A question. `name` is as it stands on the wire, in lower case, without pointers; `end` is where it ends."""

    id: int
    flags: int
    name: bytes
    kind: int
    end: int
    edns: bool = False
    limit: int = PLAIN_LIMIT
    wants_signatures: bool = False
    version: int = 0

    @property
    def labels(self) -> tuple[str, ...]:
        return labels_of(self.name)


def read(data: bytes) -> Asked | None:
    """None where it is anything but one plain question of class IN, with EDNS or without."""
    if len(data) < HEADER_BYTES + 5:
        return None
    number, flags, questions, answers, authorities, extras = HEADER.unpack_from(data)
    if flags & 0xF800 or questions != 1 or answers or authorities:
        return None  # an answer, another operation, or more than a question
    end = _end_of_name(data, HEADER_BYTES)
    if end is None or end + 4 > len(data):
        return None
    kind, family = struct.unpack_from("!HH", data, end)
    if family != INTERNET:
        return None
    name = data[HEADER_BYTES:end].lower()
    if not extras:
        return Asked(number, flags, name, kind, end + 4)
    at = end + 4
    for _ in range(extras):
        start, at = at, _end_of_name(data, at) or 0
        if not at or at + 10 > len(data):
            return None
        extra, payload, rest, length = FIXED.unpack_from(data, at)
        if extra == OPT and data[start] == 0:
            limit = min(max(payload, PLAIN_LIMIT), EDNS_LIMIT)
            return Asked(number, flags, name, kind, end + 4, True, limit, bool(rest & 0x8000), (rest >> 16) & 0xFF)
        at += 10 + length
    return Asked(number, flags, name, kind, end + 4)


def _end_of_name(data: bytes, at: int) -> int | None:
    """Behind a name without pointers."""
    start, size = at, len(data)
    while at < size:
        length = data[at]
        if not length:
            return at + 1 if at + 1 - start <= NAME_BYTES else None
        if length > LABEL_BYTES:
            return None
        at += length + 1
    return None


def labels_of(name: bytes) -> tuple[str, ...]:
    """Of a name as it stands on the wire. Bytes beyond ASCII stay what they are."""
    found = []
    at = 0
    while at < len(name) and name[at]:
        end = at + 1 + name[at]
        found.append(name[at + 1 : end].decode("latin-1"))
        at = end
    return tuple(found)


def encode_name(text: str) -> bytes:
    """A name for the wire; labels that are too long are cut off, so that nothing here can fail."""
    parts = [part.encode("latin-1", "replace")[:LABEL_BYTES] for part in text.rstrip(".").split(".") if part]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def record(owner: bytes, kind: int, seconds: int, data: bytes) -> bytes:
    return owner + FIXED.pack(kind, INTERNET, seconds, len(data)) + data


def srv_data(port: int, target: bytes, weight: int = 100) -> bytes:
    return struct.pack("!HHH", 0, weight, port) + target


def txt_data(text: str) -> bytes:
    found = text.encode()[:255]
    return bytes([len(found)]) + found


def soa_data(server: bytes, mail: bytes, serial: int, seconds: int) -> bytes:
    return server + mail + struct.pack("!IIIII", serial, 7200, 1800, 86400, seconds)


def reply(
    asked: Asked,
    data: bytes,
    answers: Sequence[bytes] = (),
    authorities: Sequence[bytes] = (),
    extras: Sequence[bytes] = (),
    *,
    code: int = NO_ERROR,
    authoritative: bool = True,
    limit: int = 0,
) -> bytes:
    """The answer to a question `data`, which was read as `asked`. What does not fit into `limit` bytes (0: what the
    asker takes in a datagram) is left out: extras first, then answers, with the mark that there are more."""
    limit = limit or asked.limit
    opt = b"" if not asked.edns else b"\0" + FIXED.pack(OPT, EDNS_LIMIT, (code >> 4) << 24, 0)
    size = asked.end + len(opt)
    flags = QR | RA | (asked.flags & (RD | CD)) | (code & 0xF) | (AA if authoritative else 0)
    size += sum(map(len, answers)) + sum(map(len, authorities)) + sum(map(len, extras))
    if size > limit:
        size -= sum(map(len, extras))
        extras = ()
    if size > limit:
        answers = _fitting(answers, limit - asked.end - len(opt))
        authorities = ()
        flags |= TC
    head = HEADER.pack(asked.id, flags, 1, len(answers), len(authorities), len(extras) + asked.edns)
    return b"".join((head, data[HEADER_BYTES : asked.end], *answers, *authorities, *extras, opt))


def _fitting(records: Sequence[bytes], room: int) -> list[bytes]:
    found = []
    for one in records:
        room -= len(one)
        if room < 0:
            break
        found.append(one)
    return found


def question(number: int, name: bytes, kind: int, *, edns: bool = False, signatures: bool = False) -> bytes:
    """A question for another nameserver."""
    opt = b"\0" + FIXED.pack(OPT, EDNS_LIMIT, 0x8000 if signatures else 0, 0) if edns else b""
    return HEADER.pack(number, RD, 1, 0, 0, int(edns)) + name + struct.pack("!HH", kind, INTERNET) + opt


def is_answer(sent: bytes, data: bytes) -> bool:
    """Whether `data` answers the question that was sent: the same id, name, type and class."""
    if len(data) < len(sent) - 11 or len(data) < HEADER_BYTES or data[:2] != sent[:2] or not data[2] & 0x80:
        return False
    end = _end_of_name(sent, HEADER_BYTES)
    return end is not None and data[HEADER_BYTES : end + 4].lower() == sent[HEADER_BYTES : end + 4].lower()


class Parts(msgspec.Struct, frozen=True):
    """Where in an answer its TTLs stand, the smallest of them, and that of a negative answer (-1: none)."""

    code: int
    truncated: bool
    places: tuple[int, ...]
    least: int
    negative: int
    answers: int


def parts_of(data: bytes) -> Parts | None:
    """None: it is garbage."""
    if len(data) < HEADER_BYTES:
        return None
    _, flags, questions, answers, authorities, extras = HEADER.unpack_from(data)
    at: int | None = HEADER_BYTES
    for _ in range(questions):
        at = _skip_name(data, at)
        if at is None or at + 4 > len(data):
            return None
        at += 4
    places, least, negative = [], 1 << 31, -1
    for index in range(answers + authorities + extras):
        at = _skip_name(data, at)
        if at is None or at + 10 > len(data):
            return None
        kind, _, seconds, length = FIXED.unpack_from(data, at)
        if at + 10 + length > len(data):
            return None
        if kind != OPT:
            places.append(at + 4)
            least = min(least, seconds)
            if kind == SOA and answers <= index < answers + authorities and length >= 20:
                minimum = struct.unpack_from("!I", data, at + 10 + length - 4)[0]
                negative = min(seconds, minimum)
        at += 10 + length
    return Parts(flags & 0xF, bool(flags & TC), tuple(places), least, negative, answers)


def _skip_name(data: bytes, at: int | None) -> int | None:
    """Behind a name, which may end in a pointer."""
    while at is not None and at < len(data):
        length = data[at]
        if not length:
            return at + 1
        if length >= 0xC0:
            return at + 2
        if length > LABEL_BYTES:
            return None
        at += length + 1
    return None


def aged(data: bytes, places: Sequence[int], seconds: int, number: int, flags: int) -> bytes:
    """The same answer so many seconds later, for another asker's id and flags (RD, CD)."""
    changed = bytearray(data)
    for at in places:
        left = max(struct.unpack_from("!I", changed, at)[0] - seconds, 0)
        struct.pack_into("!I", changed, at, left)
    struct.pack_into("!H", changed, 0, number)
    known = struct.unpack_from("!H", changed, 2)[0] & ~(RD | CD | AA)
    struct.pack_into("!H", changed, 2, known | RA | (flags & (RD | CD)))
    return bytes(changed)
