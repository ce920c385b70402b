"""How fast what the metrics ask for becomes true: the documented cases, and what must hold for all."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.controllers.autoscaling.behaviour import (
    Bounds,
    Change,
    Memory,
    Outcome,
    Recommendation,
    remember_scale,
    settle,
)

NOW = 10_000.0
WIDE = Bounds(1, 1000)


def rules(*policies: tuple[str, int, int], select: str = "Max", window: int | None = 0) -> dict[str, Any]:
    named = [{"type": type, "value": value, "periodSeconds": period} for type, value, period in policies]
    return {"policies": named, "selectPolicy": select, "stabilizationWindowSeconds": window}


USUAL_UP = rules(("Pods", 4, 15), ("Percent", 100, 15))
USUAL_DOWN = rules(("Percent", 100, 15), window=300)


def behaviour(up: Any = None, down: Any = None) -> dict[str, Any]:
    return {"scaleUp": up or USUAL_UP, "scaleDown": down or USUAL_DOWN}


def recommended(*made: tuple[int, float]) -> Memory:
    return Memory(tuple(Recommendation(replicas, NOW - age) for replicas, age in made))


@pytest.mark.parametrize(
    ("current", "desired", "bounds", "replicas", "reason"),
    [
        (3, 3, WIDE, 3, "DesiredWithinRange"),
        (3, 5, WIDE, 5, "DesiredWithinRange"),
        (3, 10, WIDE, 6, "ScaleUpLimit"),
        (1, 10, WIDE, 4, "ScaleUpLimit"),
        (3, 10, Bounds(1, 5), 5, "TooManyReplicas"),
        (3, 1, Bounds(2, 5), 2, "TooFewReplicas"),
        (3, 1, WIDE, 1, "DesiredWithinRange"),
    ],
)
def test_limits_without_a_behaviour(current: int, desired: int, bounds: Bounds, replicas: int, reason: str) -> None:
    outcome = settle(current, desired, bounds, None, Memory(), NOW)
    assert (outcome.replicas, outcome.limited.reason) == (replicas, reason)
    assert outcome.limited.status is (reason != "DesiredWithinRange")
    assert outcome.able.reason == "ReadyForNewScale"


def test_going_down_waits_for_five_minutes() -> None:
    memory = recommended((5, 301), (4, 299), (2, 10))
    outcome = settle(5, 2, WIDE, None, memory, NOW)
    assert (outcome.replicas, outcome.able.reason) == (4, "ScaleDownStabilized")
    later = settle(4, 2, WIDE, None, outcome.memory, NOW + 2)
    assert (later.replicas, later.able.reason) == (2, "ReadyForNewScale")


@pytest.mark.parametrize(
    ("up", "current", "desired", "replicas", "reason"),
    [
        (USUAL_UP, 1, 100, 5, "ScaleUpLimit"),
        (USUAL_UP, 10, 100, 20, "ScaleUpLimit"),
        (rules(("Pods", 4, 15), ("Percent", 100, 15), select="Min"), 10, 100, 14, "ScaleUpLimit"),
        (rules(("Pods", 1, 60), select="Disabled"), 10, 100, 10, "ScaleUpLimit"),
        (rules(("Percent", 15, 60)), 10, 100, 12, "ScaleUpLimit"),  # rounded up
        (rules(("Percent", 1000, 60)), 100, 2000, 1000, "TooManyReplicas"),
        (rules(("Pods", 4, 60)), 3, 6, 6, "DesiredWithinRange"),
    ],
)
def test_policies_up(up: Any, current: int, desired: int, replicas: int, reason: str) -> None:
    outcome = settle(current, desired, WIDE, behaviour(up=up), Memory(), NOW)
    assert (outcome.replicas, outcome.limited.reason) == (replicas, reason)


@pytest.mark.parametrize(
    ("down", "current", "desired", "replicas", "reason"),
    [
        (rules(("Percent", 100, 15)), 80, 10, 10, "DesiredWithinRange"),
        (rules(("Percent", 10, 60)), 80, 10, 72, "ScaleDownLimit"),
        (rules(("Percent", 10, 60), ("Pods", 4, 60)), 80, 10, 72, "ScaleDownLimit"),
        (rules(("Percent", 10, 60), ("Pods", 4, 60), select="Min"), 80, 10, 76, "ScaleDownLimit"),
        (rules(("Pods", 4, 60), select="Disabled"), 80, 10, 80, "ScaleDownLimit"),
        (rules(("Percent", 10, 60)), 9, 1, 8, "ScaleDownLimit"),  # rounded towards fewer
        (rules(("Pods", 100, 60)), 80, 0, 1, "TooFewReplicas"),
    ],
)
def test_policies_down(down: Any, current: int, desired: int, replicas: int, reason: str) -> None:
    outcome = settle(current, desired, WIDE, behaviour(down=down), Memory(), NOW)
    assert (outcome.replicas, outcome.limited.reason) == (replicas, reason)


def test_what_was_scaled_within_the_period_counts() -> None:
    up = behaviour(up=rules(("Pods", 4, 60)))
    memory = Memory()
    current, steps = 10, []
    for second in range(0, 121, 15):
        outcome = settle(current, 100, WIDE, up, memory, NOW + second)
        memory = remember_scale(outcome.memory, up, current, outcome.replicas, NOW + second)
        current = outcome.replicas
        steps.append(current)
    assert steps == [14, 14, 14, 14, 18, 18, 18, 18, 22]
    mixed = Memory((), (Change(5, NOW - 10),), (Change(2, NOW - 10),))
    down = behaviour(down=rules(("Pods", 4, 60)))
    assert settle(13, 1, WIDE, down, mixed, NOW).replicas == 6  # it was at ten a minute ago


def test_windows_of_both_directions() -> None:
    slow = behaviour(up=rules(("Percent", 1000, 15), window=60), down=rules(("Percent", 100, 15), window=120))
    outcome = settle(4, 10, WIDE, slow, recommended((6, 61), (5, 59), (8, 10)), NOW)
    assert (outcome.replicas, outcome.able.reason) == (5, "ScaleUpStabilized")
    outcome = settle(4, 1, WIDE, slow, recommended((4, 121), (3, 119), (2, 10)), NOW)
    assert (outcome.replicas, outcome.able.reason) == (3, "ScaleDownStabilized")
    unsaid = behaviour(down=rules(("Percent", 100, 15), window=None))
    assert settle(4, 1, WIDE, unsaid, recommended((4, 299)), NOW).replicas == 4


policies = st.lists(
    st.tuples(st.sampled_from(["Pods", "Percent"]), st.integers(1, 150), st.integers(1, 600)), min_size=1, max_size=3
)
ways = st.builds(
    lambda policies, select, window: rules(*policies, select=select, window=window),
    policies,
    st.sampled_from(["Max", "Min", "Disabled"]),
    st.integers(0, 600),
)


@given(
    st.one_of(st.none(), st.builds(behaviour, ways, ways)),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 120)), min_size=1, max_size=12),
    st.integers(1, 50),
)
def test_it_stays_between_its_bounds_and_between_now_and_what_is_asked(
    how: Any, asked: list[tuple[int, int]], current: int
) -> None:
    memory, now, bounds = Memory(), NOW, Bounds(1, 50)
    for desired, pause in asked:
        outcome: Outcome = settle(current, desired, bounds, how, memory, now)
        assert 1 <= outcome.replicas <= 50
        recent = [one.replicas for one in memory.recommendations] + [desired, current]
        assert min(*recent, 50) <= max(outcome.replicas, 1) and outcome.replicas <= max(*recent, 1)
        memory = remember_scale(outcome.memory, how, current, outcome.replicas, now)
        current, now = outcome.replicas, now + pause
        assert len(memory.ups) + len(memory.downs) <= 12
