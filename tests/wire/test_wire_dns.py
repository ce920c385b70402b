"""DNS messages: answers that a real library reads, and garbage that never does more than raise Invalid."""

import contextlib

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Invalid
from boxship.wire import dns as wire


def question(name: str = "web.test", kind: str = "A", **more: object) -> wire.Question:
    return wire.parse_question(dns.message.make_query(name, kind, **more).to_wire())  # type: ignore[arg-type]


def test_a_question_is_read() -> None:
    found = question("WEB.Test.", "AAAA", use_edns=0, payload=4096)
    assert (found.name, found.kind, found.limit) == ("web.test", "AAAA", wire.EDNS_LIMIT)
    assert question().limit == 512


def test_answers() -> None:
    asked = question()
    answer = dns.message.from_wire(wire.answer_addresses(asked, ["10.0.0.1", "10.0.0.2"]))
    assert sorted(item.to_text() for item in answer.answer[0]) == ["10.0.0.1", "10.0.0.2"]
    assert answer.id == dns.message.from_wire(asked.message).id
    assert answer.flags & dns.flags.QR and answer.flags & dns.flags.RA
    empty = dns.message.from_wire(wire.answer_addresses(question(kind="AAAA"), ["10.0.0.1"]))
    assert empty.rcode() == dns.rcode.NOERROR and not empty.answer
    assert dns.message.from_wire(wire.answer_code(asked, wire.NAME_ERROR)).rcode() == dns.rcode.NXDOMAIN


def test_pointers() -> None:
    asked = question("2.1.0.10.in-addr.arpa", "PTR")
    assert wire.pointer_address(asked.name) == "10.0.1.2"
    answer = dns.message.from_wire(wire.answer_pointer(asked, "web.net"))
    assert answer.answer[0][0].to_text() == "web.net."
    for other in ("web.test", "", "1.10.in-addr.arpa", "x.in-addr.arpa", "0.8.e.f.ip6.arpa"):
        assert wire.pointer_address(other) == ""


def test_answers_belong_to_their_question() -> None:
    asked = question()
    answer = wire.with_id(wire.answer_addresses(asked, ["10.0.0.1"]), 77)
    assert wire.answers(asked, answer, 77)
    assert not wire.answers(asked, answer, 78)
    assert not wire.answers(question("other.test"), answer, 77)
    assert not wire.answers(asked, wire.with_id(asked.message, 77), 77)  # a question is no answer


def test_long_answers_are_cut_for_datagrams() -> None:
    asked = question()
    whole = wire.answer_addresses(asked, [f"10.0.0.{number}" for number in range(200)])
    cut = wire.shorten(asked, whole)
    read = dns.message.from_wire(cut)
    assert len(cut) <= 512 and read.flags & dns.flags.TC and wire.is_truncated(cut)
    assert read.question == dns.message.from_wire(asked.message).question
    assert wire.shorten(asked, cut) == cut


@pytest.mark.parametrize("data", [b"", b"\0" * 11, b"\0" * 12, b"\x00\x01\x80\x00" + b"\0" * 8])
def test_what_is_no_question(data: bytes) -> None:
    with pytest.raises(Invalid):
        wire.parse_question(data)


@given(st.binary(max_size=600))
def test_random_bytes_are_a_question_or_invalid(data: bytes) -> None:
    try:
        found = wire.parse_question(data)
    except Invalid:
        failure = wire.failure_for(data, wire.NOT_IMPLEMENTED)
        assert failure is None or (failure[:2] == data[:2] and len(failure) == 12 and failure[2] & 0x80)
        return
    answer_all(found)


@given(st.binary(max_size=60), st.integers(0, 59), st.integers(0, 255), st.binary(max_size=80))
def test_damaged_questions_and_answers(prefix: bytes, at: int, value: int, answer: bytes) -> None:
    message = bytearray(dns.message.make_query("some.name.test", "A", use_edns=0).to_wire())
    message[at % len(message)] = value
    for data in (bytes(message), bytes(message)[: len(message) - len(prefix) % 20], bytes(message) + prefix):
        try:
            found = wire.parse_question(data)
        except Invalid:
            continue
        answer_all(found)
        wire.answers(found, answer, 1)
        wire.answers(found, data[:2] + b"\x80" + data[3:], wire.message_id(data))
    wire.is_truncated(answer)


def answer_all(found: wire.Question) -> None:
    for write in (
        lambda: wire.answer_addresses(found, ["10.0.0.1"]),
        lambda: wire.answer_code(found, wire.SERVER_FAILURE),
        lambda: wire.answer_pointer(found, "a.b"),
        lambda: wire.shorten(found, wire.answer_addresses(found, ["10.0.0.1"] * 3)),
    ):
        with contextlib.suppress(Invalid):
            assert write()[2] & 0x80
    wire.pointer_address(found.name)


@given(st.text(max_size=300))
def test_any_text_is_a_pointer_name_or_none(name: str) -> None:
    assert isinstance(wire.pointer_address(name), str)
