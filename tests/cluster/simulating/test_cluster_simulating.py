"""The whole cluster from a seed: nothing goes wrong, and the same seed does the same. And the verb, as a program."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from world_kit import schemas

from boxship.main.simulating.load import KINDS, facts_of, node, percentile, pod
from boxship.main.simulating.whole import simulate_whole
from daemons import surroundings

BOXSHIP = str(Path(sys.executable).parent / "boxship")


def simulate(*words: str) -> str:
    done = subprocess.run(
        [BOXSHIP, "simulate", *words], capture_output=True, text=True, timeout=300, env=surroundings(), check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize("seed", range(5))
def test_a_cluster_that_fails_everywhere_comes_right(seed: int) -> None:
    outcome = simulate_whole(seed, schemas=schemas())
    assert not outcome.wrong, f"boxship simulate --seed {seed}: {outcome.wrong}"
    assert outcome.counts["started"] and outcome.counts["acts"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_many_clusters_come_right(seed: int) -> None:
    outcome = simulate_whole(seed, schemas=schemas(), trouble=0.08, deaths=8)
    assert not outcome.wrong, f"seed {seed}: {outcome.wrong}"


def test_a_seed_does_the_same_each_time() -> None:
    assert simulate("--seed", "3") == simulate("--seed", "3")


def test_nodes_and_pods_are_of_their_kind() -> None:
    names = {facts_of(number).name for number in range(3000)}
    addresses = {facts_of(number).address for number in range(3000)}
    assert len(names) == len(addresses) == 3000
    made = node(1)
    assert {one["type"]: one["status"] for one in made["status"]["conditions"]}["Ready"] == "True"
    assert {kind: sorted(set(pod(kind, 1, "x")["spec"])) != [] for kind in KINDS} == dict.fromkeys(KINDS, True)
    assert (percentile([], 0.5), percentile([3, 1, 2], 0.5), percentile([1, 2, 3], 0.99)) == (0.0, 2, 3)


@pytest.mark.slow
def test_figures_of_a_small_cluster() -> None:
    told = json.loads(simulate("--nodes", "20", "--pods", "60", "--run", "40", "--format", "json", "--quiet"))
    assert [rate["kind"] for rate in told["scheduling"]] == list(KINDS)
    assert all(rate["rate"] > 0 for rate in told["scheduling"])
    assert told["running"][0] > 0 and told["memory"] > 0
