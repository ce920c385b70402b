"""Other resources for a pod that runs: what is done, and what is told where it cannot be."""

from life_kit import Play, one, pod_of

from boxship.cluster.node.life import resizing
from boxship.cluster.node.life.starting import wider
from boxship.cluster.node.life.values import Problem, Room
from boxship.spec.container import Resources


def test_resources_change_in_place_where_there_is_room() -> None:
    play = Play(pod_of(one(resources={"requests": {"cpu": "1"}})))
    play.settle()
    play.pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}}
    play.room = Room(cpu=1000, free_cpu=500)
    play.settle()
    assert play.condition("PodResizePending")["reason"] == "Infeasible"
    play.room = Room(cpu=4000, free_cpu=500)
    play.settle()
    assert play.condition("PodResizePending")["reason"] == "Deferred"
    assert play.state()["allocatedResources"] == {"cpu": "1"}
    play.room = Room(cpu=4000, free_cpu=3000)
    assert play.step() == ["resize a"]
    play.settle()
    assert play.state()["allocatedResources"] == {"cpu": "2"} and not play.condition("PodResizePending")


def test_nobody_begins_with_resources_that_nobody_has_looked_for() -> None:
    play = Play(pod_of(one(resources={"requests": {"cpu": "1"}})))
    play.settle()
    play.pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}}
    decision = play.look()
    assert decision.refused and not decision.actions and decision.again == play.now
    assert play.state()["allocatedResources"] == {"cpu": "1"}


def test_resources_of_the_whole_pod_change_in_place() -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    own = {"limits": {"cpu": "1", "memory": "1Gi"}}
    parts = one("own", resources=own, resizePolicy=policy), one("none"), one("anew", resizePolicy=policy)
    play = Play(pod_of(*parts, resources={"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}}))
    status = play.settle()
    assert status["resources"] == {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}}
    play.room = Room(cpu=9000, memory=1 << 40, free_cpu=9000, free_memory=1 << 40)
    play.pod["spec"]["resources"] = {"requests": {"cpu": "2"}, "limits": {"memory": "3Gi"}}
    assert play.condition("PodResizeInProgress") == {}
    done = play.step()
    assert done == ["stop anew", "resize"]  # which has its limit of memory from the pod
    status = play.settle()
    assert play.done[-1] == "start anew" and not play.condition("PodResizeInProgress")
    assert status["resources"] == {"requests": {"cpu": "2"}, "limits": {"memory": "3Gi"}}
    assert status["allocatedResources"] == {"cpu": "2"}


def test_a_resize_that_comes_to_nothing_is_told_and_tried_again() -> None:
    play = Play(pod_of(one(resources={"limits": {"memory": "2Gi"}})))
    play.settle()
    play.room = Room(cpu=1, memory=1 << 40, free_cpu=1, free_memory=1 << 40)
    play.pod["spec"]["containers"][0]["resources"] = {"limits": {"memory": "1Gi"}}
    problem = Problem("ResizeError", "too much is used", play.now, play.now + 5)
    play.memory = resizing.with_problem(play.memory, "a", problem)
    decision = play.look()
    assert not decision.actions and decision.again == play.now + 5
    found = play.condition("PodResizeInProgress")
    assert (found["reason"], found["message"]) == ("Error", "too much is used")
    play.now += 5
    assert play.step() == ["resize a"]
    play.pod["spec"]["containers"][0]["resources"] = {"limits": {"memory": "1Gi"}}
    play.settle()
    assert not play.memory.resize_problems and not play.condition("PodResizeInProgress")


def test_resources_may_ask_for_a_restart() -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    play = Play(pod_of(one(resources={"limits": {"memory": "1Gi"}}, resizePolicy=policy)))
    play.settle()
    play.pod["spec"]["containers"][0]["resources"] = {"limits": {"memory": "2Gi"}}
    play.room = Room(cpu=1, memory=1 << 40, free_cpu=1, free_memory=1 << 40)
    decision = play.look()
    assert decision.actions[0].message == "Container a resize requires restart"


def test_a_pod_is_never_narrower_than_its_containers() -> None:
    """The kernel refuses a quota above that of the group around it."""
    old = Resources(memory=64, memory_swap=64, cpu_shares=10, cpu_period=100, cpu_quota=50)
    new = Resources(memory=32, memory_swap=32, cpu_shares=20, cpu_period=100, cpu_quota=80)
    between = Resources(memory=64, memory_swap=64, cpu_shares=20, cpu_period=100, cpu_quota=80)
    assert wider(old, new) == between
    assert wider(new, old) == Resources(memory=64, memory_swap=64, cpu_shares=10, cpu_period=100, cpu_quota=80)
    assert wider(old, Resources()) == Resources(cpu_period=100)
