"""A rolling replacement: the table of transitions is whole, every path ends, and the old ones are there until the new
ones hold."""

from __future__ import annotations

from typing import Any

import pytest
from compose_memory_host import Behaviour, MemoryHost
from compose_plan_kit import HEALTHCHECK, bring_up, changed, host_for, project, published, service, updating
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.compose.model import Project
from boxship.compose.planning import rolling
from boxship.compose.planning.actions import CreateContainer, RollPolicy, RollService, Slot
from boxship.compose.planning.rolling import REST, TRANSITIONS, UNDO, UPDATE, Event, Phase


def test_the_table_of_transitions_is_whole_and_every_way_ends() -> None:
    for first in (True, False):
        assert {phase for how, phase in TRANSITIONS if how == first} == set(Phase) - REST
        for phase in set(Phase) - REST:
            for outcome in (0, 1):
                now, steps = phase, 0
                while now not in REST:
                    now, steps = TRANSITIONS[first, now][outcome], steps + 1
                    assert steps < 12
    assert not UPDATE & UNDO and Phase.CLEARING not in UPDATE | UNDO


def roll_of(count: int, **fields: Any) -> RollService:
    slots = tuple(
        Slot(
            old=f"old{number}",
            name=f"p-web-{number}",
            final=f"p-web-{number}",
            create=CreateContainer(name=f"tmp{number}", number=number, image="i", service="web"),
        )
        for number in range(1, count + 1)
    )
    return RollService(service="web", slots=slots, **fields)


@st.composite
def rolls(draw: st.DrawFn) -> RollService:
    policy = RollPolicy(
        parallelism=draw(st.integers(0, 3)),
        delay=draw(st.sampled_from([0.0, 1.0])),
        monitor=draw(st.sampled_from([0.0, 1.0])),
        on_failure=draw(st.sampled_from(["pause", "continue", "rollback"])),
        max_failure_ratio=draw(st.sampled_from([0.0, 0.4, 1.0])),
    )
    back = RollPolicy(parallelism=draw(st.integers(0, 2)), on_failure=draw(st.sampled_from(["pause", "continue"])))
    return roll_of(draw(st.integers(1, 5)), start_first=draw(st.booleans()), update=policy, rollback=back)


@settings(max_examples=80, deadline=None)
@given(rolls(), st.data())
def test_any_order_of_ends_and_failures_comes_to_an_end(action: RollService, data: st.DataObject) -> None:
    roll, dos = rolling.begin(action)
    active = list(dos)
    kept = dict.fromkeys(range(len(action.slots)), True)  # whether the old container is there
    failed = False
    steps = 0
    while active:
        steps += 1
        assert steps < 200
        limit = max(action.update.parallelism or 99, action.rollback.parallelism or 99)
        if not roll.finishing:
            assert len(active) <= limit
        assert len({do.replica for do in active}) == len(active)
        do = active.pop(data.draw(st.integers(0, len(active) - 1)))
        failure = "no" if do.action is not None and data.draw(st.integers(0, 5)) == 0 else ""
        failed = failed or bool(failure)
        if do.phase == Phase.CLEARING:
            assert roll.finishing and not any(replica.phase in UPDATE | UNDO for replica in roll.replicas)
            kept[do.replica] = False
        if do.phase == Phase.ERASING:
            assert kept[do.replica]
        roll, more = rolling.advance(roll, Event(do.replica, failure))
        active += more
    assert rolling.is_over(roll)
    verdict = rolling.verdict(roll)
    assert verdict.ok or verdict.text
    if not failed:
        assert verdict == rolling.Verdict(True) and all(replica.phase == Phase.DONE for replica in roll.replicas)
    if action.update.on_failure == "rollback" and failed and not verdict.ok and "rolled back" in verdict.text:
        assert all(replica.phase in (Phase.WAITING, Phase.RESTORED) for replica in roll.replicas)
        assert all(kept.values())
    for index, replica in enumerate(roll.replicas):
        assert replica.phase in REST
        assert rolling.holder(roll, index).startswith("new:") == (replica.phase == Phase.DONE)


def update(before: Project, after: Project, new: Behaviour, **options: Any) -> tuple[MemoryHost, Any, list[int]]:
    """Bring `before` up, then `after`, whose image turns out as `new` says; how many ran after each act."""
    host = host_for(before, after)
    host.behaviours["id of web:1"] = Behaviour("healthy")
    assert bring_up(host, before).code == 0
    host.settle()
    host.behaviours["id of web:2"] = new
    running: list[int] = []
    host.notice = lambda seen: running.append(
        sum(box.health == "healthy" or not host.behaviours.get(box.image, new).health for box in seen.running("web"))
    )
    result = bring_up(host, after, **options)
    host.notice = None
    return host, result, running


def replicas(count: int = 3, **fields: Any) -> tuple[Project, Project]:
    before = project(service("web", scale=count, healthcheck=HEALTHCHECK, ports=(published(80),), **fields))
    return before, changed(before, "web", image="web:2")


def test_a_new_one_is_healthy_before_the_old_one_goes() -> None:
    host, result, running = update(*replicas(), Behaviour("healthy"))
    assert result.code == 0 and min(running) == 3
    assert {box.image for box in host.boxes.values()} == {"id of web:2"}
    assert {box.name for box in host.boxes.values()} == {"demo-web-1", "demo-web-2", "demo-web-3"}
    assert max(running) == 4  # one at a time
    host, result, running = update(*replicas(deploy=updating(parallelism=0)), Behaviour("healthy"))
    assert result.code == 0 and min(running) == 3 and max(running) == 6
    host, result, running = update(*replicas(deploy=updating(order="stop-first")), Behaviour("healthy"))
    assert result.code == 0 and min(running) == 2 and max(running) == 3


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
@pytest.mark.parametrize("bad", [Behaviour("unhealthy"), Behaviour(exits=127)])
def test_a_failed_update_goes_back_and_says_why(order: str, bad: Behaviour) -> None:
    before, after = replicas(deploy=updating(order=order))
    host, result, running = update(before, after, bad)
    assert result.code == 1
    (reason,) = result.reasons
    assert reason.startswith('update of service "web" failed and was rolled back: container ')
    assert ("unhealthy: no answer" if bad.health else "exited (127)") in reason
    assert {(box.image, box.state) for box in host.boxes.values()} == {("id of web:1", "running")}
    assert {box.name for box in host.boxes.values()} == {"demo-web-1", "demo-web-2", "demo-web-3"}
    assert min(running) >= (3 if order == "start-first" else 2)
    assert bring_up(host, after).reasons == [reason]  # and the same again


def test_pause_and_continue() -> None:
    host, result, _ = update(*replicas(deploy=updating(failure_action="pause")), Behaviour("unhealthy"))
    assert "failed and is paused with 0 of 3 replaced: container" in result.reasons[0]
    kept = [box for box in host.boxes.values() if box.image == "id of web:2"]
    assert len(kept) == 1 and kept[0].state == "exited" and len(host.running("web")) == 3
    host.behaviours["id of web:2"] = Behaviour("healthy")
    fixed = changed(replicas(deploy=updating(failure_action="pause"))[1], "web")
    assert bring_up(host, fixed).code == 0 and len(host.boxes) == 3
    host, result, _ = update(*replicas(deploy=updating(failure_action="continue")), Behaviour("unhealthy"))
    assert "failed for 3 of 3 replicas" in result.reasons[0] and len(host.running("web")) == 3
    tolerant = updating(failure_action="rollback", max_failure_ratio=1.0)
    host, result, _ = update(*replicas(deploy=tolerant), Behaviour("unhealthy"))
    assert result.code == 0 and "3 of 3 replicas stay as they were" in result.outcome.warnings[0]
    assert len(host.running("web")) == 3


def test_delay_and_monitor_are_what_the_file_says() -> None:
    before, after = replicas(2, deploy=updating(delay="30s", monitor="1m"))
    host = host_for(before, after)
    bring_up(host, before)
    result = bring_up(host, after, dry_run=True)
    assert result.code == 0
    assert "Container demo-web-1 Watching new" in result.view.texts
    roll, (do,) = rolling.begin(roll_of(2, update=RollPolicy(delay=30.0, monitor=60.0)))
    seen = []
    while not rolling.is_over(roll):
        seen.append((do.phase, do.seconds or getattr(do.action, "seconds", None)))
        roll, dos = rolling.advance(roll, Event(do.replica))
        if not dos or roll.finishing:
            break
        (do,) = dos
    assert (Phase.RESTING, 30.0) in seen and (Phase.MONITORING, 60.0) in seen
    assert sum(phase == Phase.RESTING for phase, _ in seen) == 1  # not after the last one
