"""The runner: order, limits, failures, Ctrl-C and dry runs, on an engine in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from compose_memory_host import MemoryHost, Onlooker
from compose_plan_kit import acts, bring_up, changed, do, host_for, needs, project, service, updating

from boxship.compose.model import Project
from boxship.compose.planning.actions import Action, AwaitContainer, PauseContainer, Plan, StartContainer, Step
from boxship.compose.planning.lifecycle import stop
from boxship.compose.planning.options import StopOptions, UpOptions
from boxship.compose.planning.up import up
from boxship.compose.running.cancel import Cancel
from boxship.compose.running.host import News
from boxship.compose.running.runner import run
from boxship.compose.running.session import change
from boxship.errors import Conflict, Internal

EMPTY = Project(name="demo")
DEADLINE_SECONDS = 20


class SlowHost(MemoryHost):
    """Every act waits until it is let go; `order` is how they began."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []
        self.gates: dict[str, threading.Event] = {}
        self.begun = threading.Semaphore(0)
        self.at_once = self.most = 0
        self.errors: dict[str, Exception] = {}
        self._guard = threading.Lock()

    def perform(self, project: Project, action: Action, tell: Callable[[News], None]) -> str:
        name = getattr(action, "name", "")
        with self._guard:
            self.order.append(name)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        tell(News("half", 1, 2))
        self.begun.release()
        gate = self.gates.get(name)
        if gate is not None:
            assert gate.wait(DEADLINE_SECONDS)
        with self._guard:
            self.at_once -= 1
        if name in self.errors:
            raise self.errors[name]
        return ""


def steps(*what: tuple[str, tuple[int, ...]], kind: type[Any] = StartContainer, **fields: Any) -> Plan:
    return Plan(
        tuple(
            Step(id=number, action=kind(container=name, name=name, **fields), after=after)
            for number, (name, after) in enumerate(what)
        )
    )


def states(view: Onlooker) -> dict[str, str]:
    return {event.subject.removeprefix("Container "): event.state for event in view.events}


def test_side_by_side_where_the_order_allows_and_not_more_than_allowed() -> None:
    plan = steps(("a", ()), ("b", ()), ("c", (0, 1)), ("d", ()))
    host, view = SlowHost(), Onlooker()
    host.gates = {name: threading.Event() for name in "abd"}
    runner = threading.Thread(target=run, args=(plan, EMPTY, host, view))
    runner.start()
    for _ in range(3):
        assert host.begun.acquire(timeout=DEADLINE_SECONDS)
    assert sorted(host.order) == ["a", "b", "d"]
    for gate in host.gates.values():
        gate.set()
    runner.join(DEADLINE_SECONDS)
    assert host.order[-1] == "c" and host.most == 3
    assert any((event.text, event.current, event.total) == ("half", 1, 2) for event in view.events)
    host = SlowHost()
    assert run(plan, EMPTY, host, Onlooker(), parallel=1).code == 0
    assert host.most == 1 and host.order.index("c") > max(host.order.index("a"), host.order.index("b"))


def test_who_waits_takes_nobodys_place() -> None:
    """`a` waits for what only `b`'s start brings about: with one place that must work."""
    wait = Step(id=0, action=AwaitContainer(container="a", name="a", condition="healthy"))
    host, view = SlowHost(), Onlooker()
    host.gates = {"a": threading.Event()}
    plan = Plan((wait, Step(id=1, action=StartContainer(container="b", name="b"))))

    def perform(project: Project, action: Action, tell: Callable[[News], None]) -> str:
        if getattr(action, "name", "") == "b":
            host.gates["a"].set()
        return SlowHost.perform(host, project, action, tell)

    host.perform = perform  # type: ignore[method-assign]
    assert run(plan, EMPTY, host, view, parallel=1).code == 0


def test_a_failure_stops_what_depends_on_it_alone() -> None:
    plan = steps(("a", ()), ("b", (0,)), ("c", (1,)), ("d", ()), ("e", (3,)))
    host, view = SlowHost(), Onlooker()
    host.errors = {"a": Internal("cannot start a: no"), "d": ZeroDivisionError("odd")}
    outcome = run(plan, EMPTY, host, view)
    assert outcome.code == 1 and sorted(host.order) == ["a", "d"]
    assert states(view) == {"a": "failed", "b": "canceled", "c": "canceled", "d": "failed", "e": "canceled"}
    assert {failure.reason for failure in outcome.failures} == {"cannot start a: no", "ZeroDivisionError: odd"}
    assert view.ends == [outcome]
    optional = Plan((Step(id=0, action=plan.steps[0].action, optional=True), plan.steps[1]))
    outcome = run(optional, EMPTY, host, view)
    assert outcome.code == 0 and outcome.warnings == ("cannot start a: no",)


def test_ctrl_c_lets_running_actions_end_and_a_second_one_does_not_wait() -> None:
    plan = steps(("a", ()), ("b", (0,)))
    for twice in (False, True):
        host, view, cancel = SlowHost(), Onlooker(), Cancel()
        host.gates = {"a": threading.Event()}
        outcomes: list[Any] = []
        runner = threading.Thread(target=lambda: outcomes.append(run(plan, EMPTY, host, view, cancel=cancel)))  # noqa: B023
        runner.start()
        assert host.begun.acquire(timeout=DEADLINE_SECONDS)
        cancel.ask()
        if twice:
            cancel.ask()
        else:
            assert runner.is_alive()
            host.gates["a"].set()
        runner.join(DEADLINE_SECONDS)
        assert not runner.is_alive() and outcomes[0].code == 130 and host.order == ["a"]
        assert states(view) == {"a": "working" if twice else "done", "b": "canceled"}
        host.gates["a"].set()
    host, cancel = SlowHost(), Cancel()  # what only waits is left alone
    host.gates = {"a": threading.Event()}
    waiting = steps(("a", ()), kind=AwaitContainer, condition="healthy")
    runner = threading.Thread(target=run, args=(waiting, EMPTY, host, Onlooker()), kwargs={"cancel": cancel})
    runner.start()
    assert host.begun.acquire(timeout=DEADLINE_SECONDS)
    cancel.ask()
    runner.join(DEADLINE_SECONDS)
    assert not runner.is_alive()
    host.gates["a"].set()


def test_a_canceled_roll_is_finished_by_the_next_up() -> None:
    before = project(service("web", scale=2, deploy=updating()))
    after = changed(before, "web", labels={"v": "2"})
    host = host_for(before)
    bring_up(host, before)
    cancel = Cancel()
    host.notice = lambda seen: cancel.ask() if len(seen.running("web")) == 3 and not cancel.times else None
    outcome = change(host, after, Onlooker(), lambda seen: up(after, seen, UpOptions()), cancel=cancel)
    assert outcome.canceled and outcome.code == 130 and len(host.boxes) == 3
    host.notice = None
    assert bring_up(host, after).code == 0
    assert {box.labels["v"] for box in host.boxes.values()} == {"2"} and len(host.boxes) == 2


def test_a_dry_run_shows_the_plan_and_touches_nothing() -> None:
    wanted = project(service("db"), service("web", scale=2, depends_on=needs("db", condition="service_healthy")))
    host = host_for(wanted)
    result = bring_up(host, wanted, dry_run=True)
    assert result.code == 0 and not host.log and result.view.dry
    assert all(event.dry_run for event in result.view.events)
    assert {"Container demo-web-2 Started", "Network demo_default Created", "Image web:1 Pulled"} <= set(
        result.view.texts
    )
    real = bring_up(host_for(wanted), wanted)
    assert sorted(result.view.texts) == sorted(real.view.texts)
    host = host_for(wanted)
    bring_up(host, wanted)
    count = len(host.log)
    result = bring_up(host, changed(wanted, "web", labels={"a": "b"}), dry_run=True)
    assert len(host.log) == count and "Container demo-web-2 Replaced" in result.view.texts


def test_two_at_once_wait_or_are_refused() -> None:
    host = host_for(EMPTY)
    with host.lock("demo", wait=True, tell=print), pytest.raises(Conflict, match="demo is locked by somebody"):
        change(host, EMPTY, Onlooker(), lambda seen: Plan(), wait=False)
    wanted = project(service("db"), service("web", depends_on=needs("db")))
    host = host_for(wanted)
    bring_up(host, wanted)
    count = len(host.log)
    do(host, wanted, lambda seen: stop(wanted, seen, StopOptions()))
    assert acts(host, count) == ["StopContainer demo-web-1", "StopContainer demo-db-1"]
    plan = steps(("x", ()), kind=PauseContainer)
    assert run(plan, wanted, host, Onlooker()).failures[0].reason == "no such container: x"
