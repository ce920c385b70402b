"""DNS messages as bytes: read a question, write an answer, tell whether an answer belongs to a question. No I/O.

Whatever comes from a container or a nameserver may be garbage: every function here either returns or raises Invalid.
"""

import struct

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset
import msgspec

from boxship.errors import Invalid

PLAIN_LIMIT = 512  # bytes of an answer over UDP without EDNS
EDNS_LIMIT = 1232  # what we offer ourselves, and the most that we send over UDP
HEADER_BYTES = 12
TTL_SECONDS = 600
NO_ERROR, SERVER_FAILURE, NAME_ERROR, NOT_IMPLEMENTED = 0, 2, 3, 4


class Question(msgspec.Struct, frozen=True):
    """A query: its name without the last dot, in lower case; its type in words ("A", "AAAA", "PTR", …); the most bytes
    that the asker takes in a datagram; and the message itself."""

    name: str
    kind: str
    limit: int
    message: bytes


def parse_question(data: bytes) -> Question:
    """Read a query of exactly one question of class IN. Invalid for anything else."""
    try:
        message = dns.message.from_wire(data, question_only=False, ignore_trailing=True)
    except Exception as error:  # the library lets errors of the wild through: struct, Unicode, its own
        raise Invalid(f"cannot read DNS message: {error}") from None
    if message.flags & dns.flags.QR or message.opcode() != 0 or len(message.question) != 1:
        raise Invalid("cannot read DNS message: not one plain question")
    asked = message.question[0]
    if asked.rdclass != dns.rdataclass.IN:
        raise Invalid("cannot read DNS message: not of class IN")
    limit = min(max(message.payload, PLAIN_LIMIT), EDNS_LIMIT) if message.edns >= 0 else PLAIN_LIMIT
    name = asked.name.to_text(omit_final_dot=True).lower()
    return Question(name, dns.rdatatype.to_text(asked.rdtype), limit, data)


def _reply(question: Question, code: int = NO_ERROR) -> dns.message.Message:
    query = dns.message.from_wire(question.message, ignore_trailing=True)
    reply = dns.message.make_response(query, recursion_available=True, our_payload=EDNS_LIMIT)
    reply.set_rcode(dns.rcode.Rcode(code))
    return reply


def _wire(reply: dns.message.Message) -> bytes:
    try:
        return bytes(reply.to_wire(max_size=65535))
    except dns.exception.DNSException as error:
        raise Invalid(f"cannot write DNS message: {error}") from None


def answer_addresses(question: Question, addresses: list[str], seconds: int = TTL_SECONDS) -> bytes:
    """The IPv4 addresses of the name, which may be remembered for some seconds; an empty answer where there is none, or
    where another type was asked for."""
    reply = _reply(question)
    if question.kind == "A" and addresses:
        name = reply.question[0].name
        reply.answer.append(dns.rrset.from_text_list(name, seconds, "IN", "A", addresses))
    return _wire(reply)


def answer_pointer(question: Question, target: str) -> bytes:
    """The name that belongs to the address that was asked for."""
    reply = _reply(question)
    try:
        absolute = dns.name.from_text(target).to_text()
        reply.answer.append(dns.rrset.from_text(reply.question[0].name, TTL_SECONDS, "IN", "PTR", absolute))
    except (dns.exception.DNSException, ValueError) as error:
        raise Invalid(f"cannot write DNS message: {error}") from None
    return _wire(reply)


def answer_code(question: Question, code: int) -> bytes:
    """An answer that is nothing but its code."""
    return _wire(_reply(question, code))


def failure_for(data: bytes, code: int) -> bytes | None:
    """An answer to a query that could not be read, from its header alone; None where there is no header to answer."""
    if len(data) < HEADER_BYTES or data[2] & 0x80:
        return None
    return data[:2] + bytes([0x80 | (data[2] & 0x79), 0x80 | code]) + bytes(8)


def pointer_address(name: str) -> str:
    """The IPv4 address that a name below in-addr.arpa stands for; "" for any other name."""
    try:
        found = dns.reversename.to_address(dns.name.from_text(name))
    except (dns.exception.DNSException, ValueError):
        return ""
    return found if name.endswith(".in-addr.arpa") else ""


def with_id(data: bytes, number: int) -> bytes:
    """The same message under another id (0 to 65535)."""
    return struct.pack("!H", number) + data[2:]


def message_id(data: bytes) -> int:
    return int(struct.unpack_from("!H", data)[0]) if len(data) >= 2 else -1


def is_truncated(data: bytes) -> bool:
    return len(data) >= HEADER_BYTES and bool(data[2] & 0x02)


def _question_bytes(data: bytes) -> bytes | None:
    """Name (in lower case), type and class of the first question, as they stand in a message; None for garbage."""
    if len(data) < HEADER_BYTES or struct.unpack_from("!H", data, 4)[0] < 1:
        return None
    at = HEADER_BYTES
    while at < len(data) and data[at]:
        if data[at] & 0xC0:
            return None
        at += data[at] + 1
    end = at + 5
    return data[HEADER_BYTES:at].lower() + data[at:end] if end <= len(data) else None


def answers(question: Question, data: bytes, number: int) -> bool:
    """Whether `data` is an answer to the question as it was sent under the id `number`."""
    if len(data) < HEADER_BYTES or not data[2] & 0x80 or message_id(data) != number:
        return False
    asked = _question_bytes(question.message)
    return asked is not None and _question_bytes(data) == asked


def shorten(question: Question, data: bytes) -> bytes:
    """The answer as it fits into a datagram for the asker: whole, or marked as truncated and without its records."""
    if len(data) <= question.limit:
        return data
    asked = _question_bytes(data)
    if asked is None:
        raise Invalid("cannot shorten DNS message: no question")
    flags = bytes([data[2] | 0x02, data[3]])
    return data[:2] + flags + struct.pack("!HHHH", 1, 0, 0, 0) + data[HEADER_BYTES : HEADER_BYTES + len(asked)]


def records_of(data: bytes, kind: int) -> list[bytes]:
    """The aliases and the records of one type in another nameserver's answer, each by itself and without pointers, in
    their order. Invalid for garbage or where the answer is a failure."""
    try:
        message = dns.message.from_wire(data, ignore_trailing=True)
        if message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise Invalid("cannot use DNS message: it is a failure")
        found = []
        for records in message.answer:
            if records.rdtype not in (kind, dns.rdatatype.CNAME):
                continue
            for one in records:
                head = (records.name.to_wire() or b"\0") + struct.pack(
                    "!HHI", records.rdtype, records.rdclass, records.ttl
                )
                body = one.to_wire()
                found.append(head + struct.pack("!H", len(body)) + body)
    except Invalid:
        raise
    except Exception as error:  # as above
        raise Invalid(f"cannot read DNS message: {error}") from None
    return found
