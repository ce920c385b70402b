"""The agent in a simulated world: whatever fails, lags or dies, containers run once, pods end in order, and nothing is
left over. A seed that fails replays exactly: `boxship simulate --seed N`."""

import pytest

from boxship.cluster.node.simulated.scenario import simulate


@pytest.mark.parametrize("seed", range(5))
def test_a_node_lives_through_everything(seed: int) -> None:
    outcome = simulate(seed)
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert outcome.counts["started"] > 20


def test_a_seed_replays_exactly() -> None:
    assert simulate(11) == simulate(11)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_many_lives(seed: int) -> None:
    outcome = simulate(seed, trouble=0.1, deaths=15)
    assert not outcome.wrong, "\n".join(outcome.wrong)
