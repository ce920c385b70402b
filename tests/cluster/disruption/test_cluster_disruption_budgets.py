"""What a budget's status is, by its pods: cases of the documentation, and what must hold for all."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.controllers.disruption.budgets import (
    Charges,
    Wanted,
    charges_of,
    failed_status_of,
    status_of,
    wanted_of,
)
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.times import stamp
from boxship.cluster.objects import Object

NOW = 1_800_000_000.0


def budget(status: Any = None, **spec: Any) -> Object:
    return {"metadata": {"name": "b", "namespace": "default", "generation": 2}, "spec": spec, "status": status or {}}


def pods(ready: int, ill: int = 0, leaving: int = 0) -> list[Pod]:
    made = [Pod("default", f"r{n}", f"r{n}", ready=True) for n in range(ready)]
    made += [Pod("default", f"i{n}", f"i{n}") for n in range(ill)]
    return made + [Pod("default", f"l{n}", f"l{n}", ready=True, deleted=NOW) for n in range(leaving)]


@pytest.mark.parametrize(
    ("spec", "scale", "there", "wanted"),
    [
        ({"minAvailable": 2}, 0, 5, (5, 2)),
        ({"minAvailable": 0}, 0, 5, (5, 0)),
        ({"minAvailable": "50%"}, 7, 6, (7, 4)),
        ({"minAvailable": "100%"}, 3, 3, (3, 3)),
        ({"maxUnavailable": 1}, 3, 2, (3, 2)),
        ({"maxUnavailable": 5}, 3, 3, (3, 0)),
        ({"maxUnavailable": "30%"}, 7, 7, (7, 4)),
        ({"maxUnavailable": 0}, 3, 3, (3, 3)),
        ({}, 0, 4, (4, 0)),
    ],
)
def test_how_many_are_wanted(spec: Object, scale: int, there: int, wanted: tuple[int, int]) -> None:
    assert wanted_of(spec, scale, there) == Wanted(*wanted)


@pytest.mark.parametrize(
    ("found", "wanted", "allowed"),
    [
        (pods(3), Wanted(3, 2), 1),
        (pods(3, ill=1), Wanted(4, 3), 0),
        (pods(3, leaving=2), Wanted(5, 2), 1),
        (pods(3), Wanted(0, 0), 0),
        (pods(0), Wanted(3, 2), 0),
        (pods(5), Wanted(3, 0), 5),
    ],
)
def test_how_many_may_go(found: list[Pod], wanted: Wanted, allowed: int) -> None:
    status = status_of(budget(), found, Charges({}), wanted, NOW)
    assert status["disruptionsAllowed"] == allowed
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == (
        ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    )
    assert status["observedGeneration"] == condition["observedGeneration"] == 2


def test_a_charge_counts_until_its_pod_goes_or_for_two_minutes() -> None:
    told = {"r0": stamp(NOW - 10), "r1": stamp(NOW - 200), "l0": stamp(NOW - 5), "gone": stamp(NOW)}
    charged = budget({"disruptedPods": told})
    charges = charges_of(charged, pods(3, leaving=1), NOW)
    assert charges.open == {"r0": told["r0"]} and charges.next == pytest.approx(110)
    assert [pod.name for pod in charges.failed] == ["r1"]
    status = status_of(charged, pods(3, leaving=1), charges, Wanted(4, 1), NOW)
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (2, 1)
    assert status["disruptedPods"] == {"r0": told["r0"]}


def test_where_nobody_knows_none_may_go() -> None:
    known = budget({"disruptionsAllowed": 3, "currentHealthy": 3, "observedGeneration": 1, "disruptedPods": {"a": "b"}})
    status = failed_status_of(known, "why", NOW)
    assert status["disruptionsAllowed"] == 0 and status["observedGeneration"] == 1 and status["currentHealthy"] == 3
    assert status["conditions"][0]["reason"] == "SyncFailed" and status["conditions"][0]["message"] == "why"


def test_the_time_of_a_condition_stays_as_long_as_it_says_the_same() -> None:
    first = status_of(budget(), pods(3), Charges({}), Wanted(3, 2), NOW)
    again = status_of(budget(first), pods(3), Charges({}), Wanted(3, 1), NOW + 60)
    other = status_of(budget(again), pods(1), Charges({}), Wanted(3, 1), NOW + 60)
    times = [status["conditions"][0]["lastTransitionTime"] for status in (first, again, other)]
    assert times == [stamp(NOW), stamp(NOW), stamp(NOW + 60)]


amounts = st.one_of(st.integers(0, 20), st.integers(0, 100).map(lambda share: f"{share}%"))


@given(st.sampled_from(["minAvailable", "maxUnavailable"]), amounts, st.integers(0, 12), st.integers(0, 12))
def test_what_is_left_after_all_that_may_go_is_enough(word: str, amount: int | str, ready: int, ill: int) -> None:
    wanted = wanted_of({word: amount}, ready + ill, ready + ill)
    allowed = status_of(budget(), pods(ready, ill), Charges({}), wanted, NOW)["disruptionsAllowed"]
    assert 0 <= allowed <= ready
    assert allowed == 0 or ready - allowed >= wanted.healthy
