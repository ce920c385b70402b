"""The quick reader and writer of DNS messages against a library that knows them all."""

import dns.flags
import dns.message
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from boxship.wire import dns_quick as wire

labels = st.lists(st.text("abcXYZ019-_", min_size=1, max_size=20), min_size=0, max_size=6)


@given(labels, st.sampled_from(["A", "AAAA", "SRV", "PTR", "TXT", "HTTPS"]), st.sampled_from([-1, 0]), st.booleans())
def test_a_question_is_read_as_the_library_writes_it(parts: list[str], kind: str, edns: int, signatures: bool) -> None:
    name = ".".join(parts) + "."
    query = dns.message.make_query(name, kind, use_edns=edns, payload=1400 if edns >= 0 else None)
    if edns >= 0 and signatures:
        query.want_dnssec()
    data = query.to_wire()
    asked = wire.read(data)
    assert asked is not None
    assert asked.labels == tuple(part.lower() for part in parts)
    assert (asked.id, asked.kind, asked.edns) == (query.id, int(query.question[0].rdtype), edns >= 0)
    assert wire.encode_name(name.lower()) == asked.name
    answer = wire.reply(asked, data, [wire.record(wire.SAME, wire.A, 5, bytes([10, 0, 0, 1]))])
    read = dns.message.from_wire(answer)
    assert read.question == query.question and read.answer[0][0].to_text() == "10.0.0.1"


@given(st.binary(max_size=80))
def test_garbage_is_read_without_harm(data: bytes) -> None:
    wire.read(data)
    wire.parts_of(data)
    header = b"\0\1\1\0\0\1\0\0\0\0\0\1"
    wire.read(header + data)
    wire.parts_of(header + data)


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=5), st.integers(0, 4000))
def test_answers_age(seconds: list[int], age: int) -> None:
    message = dns.message.make_response(dns.message.make_query("a.example.", "A"))
    for number, ttl in enumerate(seconds):
        message.answer.append(dns.rrset.from_text(f"n{number}.example.", ttl, "IN", "A", f"192.0.2.{number}"))
    data = message.to_wire()
    parts = wire.parts_of(data)
    assert parts is not None and parts.least == min(seconds) and parts.negative == -1
    older = dns.message.from_wire(wire.aged(data, parts.places, age, 7, wire.RD))
    assert [records.ttl for records in older.answer] == [max(ttl - age, 0) for ttl in seconds]
    assert older.id == 7 and older.flags & dns.flags.RD and not older.flags & dns.flags.AA


def test_negative_answers_say_for_how_long() -> None:
    message = dns.message.make_response(dns.message.make_query("a.example.", "A"))
    message.authority.append(dns.rrset.from_text("example.", 60, "IN", "SOA", "a. b. 1 2 3 4 15"))
    parts = wire.parts_of(message.to_wire())
    assert parts is not None and parts.negative == 15
