"""A cluster of three nodes under load, mistreated in every way: nothing that was acknowledged is lost, no pod of a
StatefulSet runs twice, and everything heals by itself. A failure names its seed: BOXSHIP_SEED repeats it."""

import os
import random
from collections.abc import Iterator

import pytest
from chaos_kit import WORLD, Faults, answered_well, life, whole
from nodes_kit import Cluster, condition, running_cluster

pytestmark = pytest.mark.slow
SEED = int(os.environ.get("BOXSHIP_SEED", random.randrange(1 << 32)))
ROUNDS = int(os.environ.get("BOXSHIP_ROUNDS", "12"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("chaos"), nodes=3) as running:
        yield running


def test_everything_is_killed_and_heals(cluster: Cluster) -> None:
    faults = Faults(cluster, SEED)
    done = []
    with life(cluster) as (writers, visitors, twins):
        for number in range(ROUNDS):
            fault = faults.all[number] if number < len(faults.all) else faults.random.choice(faults.all)
            done.append(fault())
            try:
                whole(cluster)
                answered_well(cluster)
            except AssertionError as error:
                raise AssertionError(f"seed {SEED}, after {done}: {error}") from error
    told = f"seed {SEED}: {done}; {visitors.answers}"
    assert len(writers.kept) > 100, told
    assert not writers.lost(), f"{told}: lost {sorted(writers.lost())[:5]} of {len(writers.kept)}"
    assert not twins.seen, f"{told}: {twins.seen[:5]}"
    assert visitors.answers["well"] > 100, told


def test_a_node_that_is_gone_loses_its_pods_to_others_and_takes_new_ones_when_it_is_back(cluster: Cluster) -> None:
    cluster.apply(WORLD)
    whole(cluster)
    gone = cluster.nodes[2]
    gone.cut_off()
    try:
        cluster.until(lambda: gone.name not in cluster.ready_nodes(), 90, "the node to be NotReady")
        cluster.until(
            lambda: (
                sum(
                    condition(pod, "Ready") == "True" and pod["spec"]["nodeName"] != gone.name
                    for pod in cluster.pods("app=web")
                )
                == 6
            ),
            120,
            "six pods on the others",
        )
        answered_well_from = [node for node in cluster.nodes if node is not gone]
        address = cluster.get("service", "web")[0]["spec"]["clusterIP"]
        for node in answered_well_from:
            for _ in range(20):
                assert node.namespace.page(f"http://{address}/", timeout=3)
    finally:
        gone.let_in()
    whole(cluster)
    answered_well(cluster)
    running = gone.docker("ps", "--format", '{{.Label "io.kubernetes.pod.name"}}').stdout.split()
    known = {pod["metadata"]["name"] for pod in cluster.pods()}
    assert set(running) <= known, "what was moved away ends on the node that is back"
