"""Waiting connections that are led elsewhere: looked for in a thread that nothing may end."""

import queue
import threading

import pytest

from boxship.network import services
from boxship.network.services import LeftBehind

SECONDS = 15  # at most, for another thread


def test_a_surprise_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: queue.Queue[tuple[str, ...]] = queue.Queue()
    surprised = threading.Event()
    monkeypatch.setattr(services, "BEGINNING_SECONDS", 0.0)
    monkeypatch.setattr(services.conntrack, "forget_unanswered", lambda *found: forgotten.put(found))

    def led() -> set[str]:
        if not surprised.is_set():
            surprised.set()
            raise RuntimeError("a surprise")
        return {"10.0.0.2"}

    left = LeftBehind(led)
    try:
        left.add(["10.0.0.1"])
        assert surprised.wait(SECONDS)
        left.add(["10.0.0.2", "10.0.0.3"])
        assert forgotten.get(timeout=SECONDS) == ("10.0.0.3",)
    finally:
        left.close()
