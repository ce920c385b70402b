"""Extended resources that an administrator writes into a node's capacity: pods can have what is written there."""

from boxship.cluster.node.status.describing import (
    differs,
    extended_of,
    node_status,
    offers_otherwise,
    status_patch,
)
from boxship.cluster.node.status.facts import MachineFacts, NodeFacts
from boxship.cluster.objects import Object

FACTS = NodeFacts(name="n", machine=MachineFacts(cpus=2, memory=1 << 30))
GPU = "example.com/gpu"


def told(had: Object) -> Object:
    return node_status(FACTS, had, 0.0)


def with_capacity(status: Object, more: dict[str, str]) -> Object:
    return {**status, "capacity": {**status["capacity"], **more}}


def test_what_is_written_into_the_capacity_can_be_had() -> None:
    plain = told({})
    assert not offers_otherwise(plain)
    written = with_capacity(plain, {GPU: "4"})
    assert offers_otherwise(written)
    status = told(written)
    assert differs(written, status)
    assert status["capacity"][GPU] == status["allocatable"][GPU] == "4"
    assert not differs(status, told(status))  # it stays, and nothing is told again


def test_what_is_taken_out_of_it_is_gone() -> None:
    offered = told(with_capacity(told({}), {GPU: "4"}))
    taken = {**offered, "capacity": {name: had for name, had in offered["capacity"].items() if name != GPU}}
    assert offers_otherwise(taken)
    status = told(taken)
    assert GPU not in status["allocatable"]
    assert status_patch(taken, status)["allocatable"][GPU] is None


def test_names_of_no_domain_or_of_kubernetes_are_not_extended() -> None:
    amounts = {"cpu": "2", "hugepages-2Mi": "0", "kubernetes.io/x": "1", "batch.kubernetes.io/y": "1", GPU: "4"}
    assert extended_of(amounts) == {GPU: "4"}
