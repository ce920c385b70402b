"""From samples to replicas: the documented cases, and what must hold for all."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.controllers.autoscaling.facts import CPU, Pod, Sample, Unknown, facts_of, requests_of
from boxship.cluster.controllers.autoscaling.proposing import (
    Groups,
    Tolerance,
    Waits,
    by_average,
    by_share,
    by_usage,
    by_value,
    grouped,
)

NOW = 10_000.0
USUAL = Tolerance()


def pods(*states: str) -> list[Pod]:
    """`r` ready, `u` not ready (a new one), `p` pending, `f` failed, `d` deleted."""
    made = []
    for number, state in enumerate(states):
        known: dict[str, Any] = {"name": f"p{number}", "started": NOW - 1000, "ready_since": NOW - 900}
        known |= {
            "r": {},
            "u": {"ready": False, "started": NOW - 20, "ready_since": NOW - 20},
            "p": {"phase": "Pending", "ready": None},
            "f": {"phase": "Failed", "ready": False},
            "d": {"deleted": True},
        }[state]
        made.append(Pod(**known))
    return made


def samples(*values: int | None) -> dict[str, Sample]:
    return {f"p{number}": Sample(value, NOW) for number, value in enumerate(values) if value is not None}


def share(current: int, target: int, states: str, *values: int | None, request: int = 1000, **more: Any) -> int:
    found, used = pods(*states), samples(*values)
    groups = grouped(found, used, CPU, NOW, Waits())
    requests = {pod.name: request for pod in found}
    return by_share(current, target, used, found, requests, groups, more.get("tolerance", USUAL)).replicas


@pytest.mark.parametrize(
    ("current", "target", "states", "values", "wanted"),
    [
        (3, 30, "rrr", (300, 500, 700), 5),  # 50 % of 30 %
        (3, 30, "urr", (300, 500, 700), 4),  # the new one counts as idle
        (3, 30, "rru", (300, 500, 700), 3),  # with it, it would rather be fewer
        (3, 30, "uuu", None, "unready"),
        (3, 100, "rrr", (1000, 1000, 1000), 3),
        (3, 100, "rrr", (1050, 1000, 1100), 3),  # within the tolerance
        (5, 50, "rrrrr", (100, 300, 500, 250, 250), 3),
        (5, 50, "rrruu", (100, 300, 500, 250, 250), 2),  # those that are not ready do not count
        (2, 50, "rr", (1000, None), 2),  # a missing one counts as idle: 100 % becomes 50 %
        (3, 50, "rrr", (250, 250, None), 3),  # a missing one counts as busy
        (4, 50, "rrrr", (100, 100, 100, None), 3),
        (1, 100, "r", (10_000,), 10),
        (4, 50, "rrdf", (1000, 1000, 9000, 9000), 4),  # those that go are not looked at
        (2, 50, "rp", (1000, None), 2),  # a pending one: 100 % becomes 50 %
        (2, 50, "rp", (2000, None), 4),
        (2, 50, "ru", (1500, 0), 3),
        (1, 70, "r", (721,), 1),  # whole percents: 72 of 70
    ],
)
def test_shares(current: int, target: int, states: str, values: Any, wanted: Any) -> None:
    if wanted == "unready":
        with pytest.raises(Unknown, match="did not receive metrics for targeted pods"):
            share(current, target, states, 100, 100, 100)
    else:
        assert share(current, target, states, *values) == wanted


def test_a_request_that_is_not_there_and_one_of_nothing() -> None:
    made = {
        "metadata": {"name": "p0"},
        "spec": {
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}, {"name": "d"}],
            "initContainers": [{"name": "i"}],
        },
    }
    with pytest.raises(Unknown, match="missing request for cpu in container d of Pod p0"):
        requests_of([facts_of(made)], CPU, "")
    assert requests_of([facts_of(made)], CPU, "c") == {"p0": 100}
    made["spec"]["resources"] = {"requests": {"cpu": "2"}}
    assert requests_of([facts_of(made)], CPU, "") == {"p0": 2000}
    with pytest.raises(Unknown, match="no metrics returned matched known pods"):
        share(1, 50, "r", 100, request=0)


def test_usage_of_each() -> None:
    found, used = pods(*"rrr"), samples(20_000, 10_000, 30_000)
    groups = grouped(found, used, "", NOW, Waits())
    assert by_usage(3, 15_000, used, groups, USUAL).replicas == 4
    assert by_usage(3, 20_000, used, groups, USUAL).replicas == 3
    assert by_usage(3, 40_000, used, groups, USUAL).replicas == 2
    assert by_usage(3, 15_000, used, groups, USUAL).usage == 20_000
    # Metrics of pods, other than the processor's, are believed at once.
    young, used = pods(*"ru"), samples(30_000, 30_000)
    assert by_usage(2, 15_000, used, grouped(young, used, "", NOW, Waits()), USUAL).replicas == 4
    assert by_usage(2, 15_000, used, grouped(young, used, CPU, NOW, Waits()), USUAL).replicas == 2


@pytest.mark.parametrize(
    ("current", "target", "usage", "states", "wanted"),
    [
        (3, 15_000, 20_000, "rrr", 4),
        (3, 20_000, 21_000, "rrr", 3),
        (3, 20_000, 40_000, "ruu", 2),  # the ready ones count
        (0, 1_000, 5_500, "", 6),
        (0, 1_000, 0, "", 0),
        (2, 20_000, 0, "rr", 0),
    ],
)
def test_an_amount_of_one_object(current: int, target: int, usage: int, states: str, wanted: int) -> None:
    assert by_value(current, target, usage, pods(*states), USUAL).replicas == wanted


@pytest.mark.parametrize(
    ("there", "target", "usage", "wanted", "shown"),
    [
        (3, 2_000, 8_600, 5, 2_867),
        (3, 2_000, 6_100, 3, 2_034),
        (0, 2_000, 8_000, 4, 0),
        (4, 50_000, 146_000, 3, 36_500),
    ],
)
def test_an_amount_for_each_replica(there: int, target: int, usage: int, wanted: int, shown: int) -> None:
    proposal = by_average(there, target, usage, USUAL)
    assert (proposal.replicas, proposal.usage) == (wanted, shown)


@pytest.mark.parametrize(
    ("started", "ready", "since", "time", "believed"),
    [
        (30, True, 25, 0, False),  # young, and the sample is partly of the time before
        (200, True, 100, 0, True),
        (200, False, 100, 0, False),
        (400, False, 390, 0, False),  # old, and never ready
        (400, False, 100, 0, True),  # old, was ready once
        (400, True, 395, 0, True),
    ],
)
def test_when_the_processor_is_believed(started: int, ready: bool, since: int, time: int, believed: bool) -> None:
    pod = Pod("p0", ready=ready, started=NOW - started, ready_since=NOW - since)
    groups = grouped([pod], {"p0": Sample(1, NOW - time)}, CPU, NOW, Waits())
    assert (groups.ready == 1) is believed


def test_tolerances_of_both_directions() -> None:
    assert share(3, 100, "rrr", 1200, 1200, 1200, tolerance=Tolerance(up=0.3, down=0.0)) == 3
    assert share(4, 100, "rrrr", 740, 740, 740, 740, tolerance=Tolerance(up=0.3, down=0.0)) == 3
    assert share(3, 100, "rrr", 1001, 1001, 1001, tolerance=Tolerance(0.0, 0.0)) == 3
    assert share(3, 100, "rrr", 1010, 1010, 1010, tolerance=Tolerance(0.0, 0.0)) == 4


values = st.lists(st.one_of(st.none(), st.integers(0, 5000)), min_size=1, max_size=8)


@given(values, st.text("rupfd", min_size=8, max_size=8), st.integers(1, 200), st.integers(1, 12))
def test_what_is_not_known_never_makes_the_change_larger(
    used: list[int | None], states: str, target: int, current: int
) -> None:
    found = pods(*states[: len(used)])
    known = samples(*used)
    groups = grouped(found, known, CPU, NOW, Waits())
    requests = {pod.name: 1000 for pod in found}
    try:
        told = by_share(current, target, known, found, requests, groups, USUAL)
    except Unknown:
        return
    assert told.share is not None
    surely = Groups(groups.ready, frozenset(), frozenset(), groups.ignored)
    sure = {name: known[name] for name in known if name not in groups.unready and name not in groups.ignored}
    simple = by_share(current, target, sure, found, requests, surely, USUAL)
    counted = [pod for pod in found if pod.name in sure or pod.name in groups.missing or pod.name in groups.unready]
    if told.share < target:
        assert told.replicas == current or told.replicas >= min(simple.replicas, current)
        assert groups.missing or told.replicas == simple.replicas
    if told.share > target:
        assert told.replicas <= max(current, math.ceil(told.share / target * len(counted)))
