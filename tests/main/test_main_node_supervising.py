"""A part of a node that fails is started again, with growing pauses, and its state says why."""

import asyncio
from pathlib import Path

import pytest

from boxship.errors import Conflict, Unavailable
from boxship.main import node_supervising
from boxship.main.node_record import NodeRecord, RecordFile
from boxship.main.node_supervising import Part


async def test_a_failing_part_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_supervising, "PAUSES", (0.001, 0.01))
    starts = 0
    steady = asyncio.Event()

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise Unavailable("cannot reach it")
        if starts == 2:
            raise ExceptionGroup("several", [Conflict("one"), Unavailable("two")])
        if starts == 3:
            return
        if starts == 4:
            raise RuntimeError("a mistake")
        steady.set()
        await asyncio.Event().wait()

    part = Part("thing", work)
    assert (part.state, part.why) == ("waiting", "not started")
    task = asyncio.create_task(part.run())
    await asyncio.wait_for(steady.wait(), 5)
    assert starts == 5 and (part.state, part.why) == ("running", "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_reason_is_shown_while_it_waits() -> None:
    began = asyncio.Event()

    async def work() -> None:
        began.set()
        raise Unavailable("cannot reach it")

    part = Part("thing", work)
    task = asyncio.create_task(part.run())
    await asyncio.wait_for(began.wait(), 5)
    await asyncio.sleep(0)
    assert (part.state, part.why) == ("waiting", "cannot reach it")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_record_is_kept_and_forgotten(tmp_path: Path) -> None:

    file = RecordFile(tmp_path / "node")
    assert file.read() is None
    record = NodeRecord(server="https://x:1", authority="PEM", node="n1", labels={"a": "b"}, pod_cidr="10.244.0.0/24")
    file.write(record)
    assert file.read() == record
    (file.folder / "pki").mkdir()
    (file.folder / "pki" / "client.pem").write_text("key")
    file.forget()
    file.forget()
    assert file.read() is None and not file.folder.exists()
