"""Waiting connections that are led elsewhere: looked for in a thread that nothing may end."""

import queue
import threading
from types import SimpleNamespace

import msgspec
import pytest

from boxship.network import services
from boxship.network.services import LeftBehind, ServiceTable
from boxship.network.services_rules import Frontend, Surroundings

SECONDS = 15  # at most, for another thread


def test_a_surprise_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: queue.Queue[tuple[str, ...]] = queue.Queue()
    surprised = threading.Event()
    monkeypatch.setattr(services, "BEGINNING_SECONDS", 0.0)
    monkeypatch.setattr("boxship.sys.conntrack.forget_unanswered", lambda *found: forgotten.put(found))

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


def test_a_change_leaves_no_gap_for_who_reads_beside_it() -> None:
    kernel = SimpleNamespace(nftables=SimpleNamespace(run=lambda text: None))
    around = Surroundings(bridge="br", inside=("10.244.0.0/16",), reserved=("10.96.0.0/16",), own=())
    table = ServiceTable(kernel, "t", around)  # type: ignore[arg-type]
    first, stays, last = (Frontend(f"10.96.0.{number}", "tcp", 80) for number in (1, 2, 3))
    try:
        table._change([], [first, stays])
        read = table._frontends  # as the flows' thread has it in hand
        table._change([first.key], [msgspec.structs.replace(stays, targets=("10.244.0.9 . 80",)), last])
        assert read == {first.key: first, stays.key: stays}
        assert set(table._frontends) == {stays.key, last.key} and table._addresses() == {"10.244.0.9"}
    finally:
        table.close()
