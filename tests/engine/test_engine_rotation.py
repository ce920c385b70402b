"""When a log is looked at again: a flood is not waited for."""

from hypothesis import given
from hypothesis import strategies as st

from boxship.engine.rotation import INTERVAL, SHORTEST, Growth, grown
from boxship.spec.container import SECOND

MOST = 10 << 20


def test_a_quiet_log_is_looked_at_once_a_second() -> None:
    assert grown(None, 500, 500, 7, MOST) == Growth(500, 7, 7 + INTERVAL // 10), "it is not known yet"
    assert grown(Growth(500, 0, 0), 90_000, 90_000, SECOND, MOST).due_at == SECOND + INTERVAL


def test_a_flooded_log_is_looked_at_before_it_is_full() -> None:
    """Forty MiB a second: a file of ten has a quarter of one."""
    before = Growth(0, 0, 0)
    found = grown(before, 4 << 20, 4 << 20, SECOND // 10, MOST)
    assert SECOND // 10 + SHORTEST <= found.due_at < SECOND // 10 + SECOND * 6 // 40
    aside = grown(before, 12 << 20, 0, SECOND * 3 // 10, MOST)
    assert aside.due_at < SECOND * 3 // 10 + SECOND // 4, "also right after it was put aside"


def test_a_log_without_a_size_needs_no_hurry() -> None:
    assert grown(Growth(0, 0, 0), 1 << 40, 1 << 40, SECOND, 0).due_at == SECOND + INTERVAL


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(1, 10 * SECOND))
def test_never_too_soon_and_never_late(had: int, full: int, size: int, after: int) -> None:
    found = grown(Growth(had, 0, 0), full, size, after, MOST)
    assert SHORTEST <= found.due_at - after <= INTERVAL
