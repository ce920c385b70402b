"""Docker's stream frames and JSON lines survive any cutting of the bytes."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from boxship.wire.stream import FrameReader, frame

frames = st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=40)), max_size=8)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


@given(frames, st.lists(st.integers(0, 1000), max_size=6))
def test_frames_come_back_however_they_are_cut(wanted: list[tuple[int, bytes]], places: list[int]) -> None:
    reader = FrameReader()
    data = b"".join(frame(stream, payload) for stream, payload in wanted)
    assert [item for piece in cut(data, places) for item in reader.feed(piece)] == wanted
    assert reader.unfinished == 0


@given(st.binary(max_size=64))
def test_bytes_that_are_no_frame_raise_value_error_alone(data: bytes) -> None:
    try:
        list(FrameReader().feed(data))
    except ValueError:
        assert len(data) >= 8
