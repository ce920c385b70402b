"""Threads that wait for their turn beside one that computes."""

import sys
from collections.abc import Iterator

import pytest

from boxship.sys.threads import TURN_SECONDS, take_short_turns


@pytest.fixture
def own_interval() -> Iterator[float]:
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


def test_turns_become_short(own_interval: float) -> None:
    take_short_turns()
    assert sys.getswitchinterval() == pytest.approx(TURN_SECONDS)
    assert own_interval > TURN_SECONDS
