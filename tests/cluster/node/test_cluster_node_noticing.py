"""Which events follow from what has changed: of nodes and of pods."""

from boxship.cluster.node.life.noticing import events_between
from boxship.cluster.node.life.values import Memory
from boxship.cluster.node.status.noticing import node_events, schedulable_events
from boxship.cluster.objects import Object

CALM = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}


def node_of(conditions: dict[str, str], boot: str = "b1", **spec: bool) -> Object:
    status = {"conditions": [{"type": kind, "status": value} for kind, value in conditions.items()]}
    return {"metadata": {"name": "n"}, "spec": spec, "status": {**status, "nodeInfo": {"bootID": boot}}}


def reasons(before: Object, after: Object) -> list[str]:
    return [reason for _, reason, _ in node_events(before, after)]


def test_of_a_new_node_its_readiness_alone_is_told() -> None:
    new = node_of({})
    assert node_events(new, node_of(CALM)) == [("Normal", "NodeReady", "Node n status is now: NodeReady")]
    assert reasons(new, node_of({**CALM, "Ready": "False"})) == ["NodeNotReady"]


def test_what_a_node_lacks_and_has_again() -> None:
    calm, full = node_of(CALM), node_of({**CALM, "DiskPressure": "True"})
    assert reasons(calm, full) == ["NodeHasDiskPressure"]
    assert reasons(full, calm) == ["NodeHasNoDiskPressure"]
    assert reasons(calm, calm) == []
    silent = node_of(dict.fromkeys(CALM, "Unknown"))
    assert "NodeReady" in reasons(silent, calm)


def test_a_cordon_is_told_once() -> None:
    calm, closed = node_of(CALM), node_of(CALM, unschedulable=True)
    text = "Node n status is now: NodeNotSchedulable"
    assert schedulable_events(calm, closed) == [("Normal", "NodeNotSchedulable", text)]
    assert schedulable_events(closed, closed) == []
    assert [reason for _, reason, _ in schedulable_events(closed, calm)] == ["NodeSchedulable"]
    assert reasons(calm, closed) == []


def test_a_restart_of_the_machine() -> None:
    before, after = node_of(CALM), node_of(CALM, boot="b2")
    assert node_events(before, after) == [("Warning", "Rebooted", "Node n has been rebooted, boot id: b2")]


def test_a_pod_beyond_its_deadline_is_told_of_once() -> None:
    over = {"phase": "Failed", "reason": "DeadlineExceeded", "message": "too long"}
    pod: Object = {"metadata": {"name": "a", "namespace": "b", "uid": "c"}, "spec": {}}
    assert events_between(pod, {"phase": "Running"}, over, Memory()) == [("", "Normal", "DeadlineExceeded", "too long")]
    assert events_between(pod, over, over, Memory()) == []
