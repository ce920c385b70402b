"""SPDY frames: whatever one side writes, the other reads, however the bytes are cut; and what is no SPDY is refused."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from boxship.wire import spdy

NAMES = some.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20)
VALUES = some.text(some.characters(min_codepoint=32, max_codepoint=255), max_size=60)
HEADERS = some.dictionaries(NAMES, VALUES, max_size=8)
STREAMS = some.integers(1, 2**31 - 1)


def test_the_dictionary_is_the_published_one() -> None:
    assert (len(spdy.DICTIONARY), zlib.adler32(spdy.DICTIONARY)) == (1423, 0xE3C6A7C2)


@given(some.lists(some.tuples(STREAMS, HEADERS, some.binary(max_size=300), some.booleans()), max_size=8), some.data())
def test_what_is_written_is_read(opened: list[tuple[int, dict[str, str], bytes, bool]], data: some.DataObject) -> None:
    writer, reader = spdy.Writer(), spdy.Reader()
    sent, expected = bytearray(), []
    for stream, headers, piece, ends in opened:
        sent += writer.open(stream, headers) + writer.reply(stream) + spdy.data(stream, piece, ends=ends)
        sent += spdy.ping(b"\0\0\0\7") + spdy.reset(stream)
        expected += [
            (spdy.SYN_STREAM, stream, headers, b"", False),
            (spdy.SYN_REPLY, stream, {}, b"", False),
            (0, stream, {}, piece, ends),
            (spdy.PING, 0, {}, b"\0\0\0\7", False),
            (spdy.RST_STREAM, stream, {}, struct.pack(">L", spdy.CANCEL), False),
        ]
    found = []
    while sent:
        size = data.draw(some.integers(1, len(sent)))
        read = reader.feed(bytes(sent[:size]))
        found += [(each.kind, each.stream, each.headers, each.data, each.ends) for each in read]
        del sent[:size]
    assert found == expected


def test_headers_of_a_client_of_go() -> None:
    """As moby/spdystream sends them: names in any case, one value."""
    writer, reader = spdy.Writer(), spdy.Reader()
    (frame,) = reader.feed(writer.open(1, {"Streamtype": "data", "Port": "80", "Requestid": "0"}))
    assert frame.headers == {"streamtype": "data", "port": "80", "requestid": "0"}


@given(some.binary(max_size=200))
def test_noise_is_refused_or_waits(noise: bytes) -> None:
    reader = spdy.Reader()
    try:
        for frame in reader.feed(noise):
            assert frame.kind >= 0
    except ValueError:
        pass


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">LL", 1 << 31 | 2 << 16 | 1, 10) + bytes(10),  # another version
        struct.pack(">LL", 1 << 31 | 3 << 16 | 1, 1 << 20),  # too long
        struct.pack(">LL", 1 << 31 | 3 << 16 | 1, 4) + bytes(4),  # too short
        struct.pack(">LL", 1 << 31 | 3 << 16 | 2, 8) + bytes(8),  # headers that are none
    ],
)
def test_wrong_frames_are_refused(frame: bytes) -> None:
    with pytest.raises(ValueError):
        list(spdy.Reader().feed(frame))


def test_headers_cannot_unpack_without_end() -> None:
    packer = zlib.compressobj(zdict=spdy.DICTIONARY)
    bomb = packer.compress(bytes(4 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < spdy.CONTROL_BYTES
    frame = struct.pack(">LLL", 1 << 31 | 3 << 16 | spdy.SYN_REPLY, len(bomb) + 4, 1) + bomb
    with pytest.raises(ValueError):
        list(spdy.Reader().feed(frame))
