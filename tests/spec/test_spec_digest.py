"""Digests and chains of layers."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from boxship.errors import Invalid
from boxship.spec import digest as digests


@given(some.binary(max_size=100))
def test_a_digest_of_bytes_is_valid(data: bytes) -> None:
    found = digests.of_bytes(data)
    assert digests.validate(found) == found == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert digests.encoded(found) == found[7:] and digests.short(found) == found[7:19]


@given(some.text(max_size=80) | some.from_regex(r"\Asha256:[0-9a-f/.]{60,68}\Z"))
def test_what_is_valid_is_a_safe_file_name(text: str) -> None:
    if digests.is_digest(text):
        assert set(digests.encoded(text)) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid checksum digest format"),
        ("sha256", "invalid checksum digest format"),
        ("sha256:", "invalid checksum digest format"),
        ("sha256:" + "a" * 63, "invalid checksum digest length"),
        ("sha256:" + "G" * 64, "invalid checksum digest format"),
        ("sha256:" + "A" * 64, "invalid checksum digest format"),
        ("md5:" + "a" * 32, "unsupported digest algorithm"),
        ("sha256:../" + "a" * 61, "invalid checksum digest format"),
    ],
)
def test_wrong_digests_are_refused(text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        digests.validate(text)
    assert str(caught.value) == message


def test_chain_ids() -> None:
    one, two = digests.of_bytes(b"1"), digests.of_bytes(b"2")
    assert digests.chain_ids(()) == ()
    assert digests.chain_ids((one, two)) == (one, digests.of_bytes(f"{one} {two}".encode()))


def test_the_empty_layer() -> None:
    assert digests.of_bytes(bytes(1024)) == digests.EMPTY_LAYER
