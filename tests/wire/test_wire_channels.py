"""Frames of several streams: whole, cut anywhere, wrong."""

import random

import pytest

from boxship.wire.channels import DATA, END, HEADER_BYTES, MESSAGE, OPEN, ChannelReader, frame

FRAMES = [(MESSAGE, 0, b'{"a":1}'), (OPEN, 7, b"default"), (DATA, 7, b"x" * 100_000), (DATA, 65535, b""), (END, 7, b"")]
BYTES = b"".join(frame(*one) for one in FRAMES)


def test_frames_come_back_whole() -> None:
    reader = ChannelReader()
    assert list(reader.feed(BYTES)) == FRAMES
    assert reader.unfinished == 0


@pytest.mark.parametrize("seed", range(20))
def test_frames_come_back_however_they_are_cut(seed: int) -> None:
    chance = random.Random(seed)
    reader, found, at = ChannelReader(), [], 0
    while at < len(BYTES):
        size = chance.choice((1, 2, 7, 8, 9, 4096, 70_000))
        found += reader.feed(BYTES[at : at + size])
        at += size
    assert found == FRAMES


def test_a_frame_that_is_not_whole_waits() -> None:
    reader = ChannelReader()
    assert list(reader.feed(frame(DATA, 1, b"abc")[:-1])) == []
    assert reader.unfinished == HEADER_BYTES + 2
    assert list(reader.feed(b"c")) == [(DATA, 1, b"abc")]


@pytest.mark.parametrize("data", [b"\0" * 8, b"\x09\0\0\0\0\0\0\0", b"\x02\x01\0\0\0\0\0\0", b"GET / HTTP/1.1"])
def test_what_is_no_frame_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="no frame"):
        list(ChannelReader().feed(data))


def test_a_frame_that_is_too_long_is_an_error_before_it_is_held() -> None:
    with pytest.raises(ValueError, match="at most 10"):
        list(ChannelReader(10).feed(frame(DATA, 1, b"x" * 11)[:HEADER_BYTES]))


def test_frames_before_a_wrong_one_are_given_out() -> None:
    found = []
    with pytest.raises(ValueError, match="no frame"):
        for one in ChannelReader().feed(frame(END, 3) + b"\0" * 8):
            found.append(one)
    assert found == [(END, 3, b"")]
