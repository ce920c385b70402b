"""Other resources for a pod that runs: what is done, and what is told where it cannot be."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from life_kit import NOW, Play, one, pod_of

from boxship.cluster.node.life import resizing, starting
from boxship.cluster.node.life.acting import Acts
from boxship.cluster.node.life.parts import container_named, parts_of
from boxship.cluster.node.life.starting import wider
from boxship.cluster.node.life.values import RESIZE, START, Action, Problem, Room
from boxship.cluster.node.plan.amounts import container_resources, pod_resources
from boxship.cluster.objects import Object
from boxship.errors import Invalid
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


def test_one_after_the_other() -> None:
    """Each changes the limits of the pod around it."""
    play = Play(pod_of(one(resources={"limits": {"cpu": "1"}}), one("b", resources={"limits": {"cpu": "1"}})))
    play.settle()
    play.room = Room(cpu=9000, free_cpu=9000)
    for container in play.pod["spec"]["containers"]:
        container["resources"] = {"limits": {"cpu": "2"}}
    play.busy = {"resize/a-0"}
    assert not play.look().actions
    play.busy = set()
    assert [play.step(), play.step(), play.step()] == [["resize a"], ["resize b"], []]


class Machine:
    """What it is told of limits; the kernel's rule of cgroup v1 is that nobody has more than the group around it."""

    def __init__(self, pod: Object) -> None:
        self.whole = pod_resources(pod)
        self.own = {part["name"]: container_resources(pod, part) for part in pod["spec"]["containers"]}

    def sandbox(self, pod: Object) -> SimpleNamespace:
        return SimpleNamespace(resources=pod_resources(pod))

    def resources(self, pod: Object, name: str) -> Resources:
        return container_resources(pod, container_named(pod, name))

    async def update_sandbox(self, uid: str, resources: Resources) -> None:
        self.whole = resources
        self.check()

    async def update(self, id: str, resources: Resources) -> None:
        self.own[id.partition("-")[0]] = resources
        self.check()

    async def usage(self) -> tuple[None, list[Any]]:
        return None, []

    def check(self) -> None:
        if any(0 < self.whole.cpu_quota < own.cpu_quota for own in self.own.values()):
            raise Invalid("invalid argument")


def amounts_of(*cpus: int) -> list[Object]:
    return [
        one(name, resources={"limits": {"cpu": f"{cpu}m", "memory": "1Gi"}})
        for name, cpu in zip("abc", cpus, strict=False)
    ]


@given(st.lists(st.tuples(*[st.integers(10, 900)] * 3), min_size=2, max_size=2), st.permutations("abc"))
async def test_containers_fit_into_their_pod_at_each_step(amounts: list[tuple[int, ...]], order: list[str]) -> None:
    play = Play(pod_of(*amounts_of(*amounts[0])))
    play.settle()
    machine = Machine(play.pod)
    acts = Acts(
        cast(Any, SimpleNamespace(runtime=machine, planner=machine, now=lambda: NOW)), "u", play.memory, gone=False
    )
    acts.containers = tuple(play.runs.values())
    pod = {**play.pod, "spec": {**play.pod["spec"], "containers": amounts_of(*amounts[1])}}
    for name in order:
        await acts.act(pod, Action(RESIZE, name, f"{name}-0"))
    assert not acts.memory.resize_problems
    assert machine.whole == pod_resources(pod)
    assert machine.own == {part["name"]: container_resources(pod, part) for part in pod["spec"]["containers"]}


async def test_a_pod_is_made_fit_for_a_container_that_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(*given: Any) -> None:
        machine.own["a"] = container_resources(pod, pod["spec"]["containers"][0])
        machine.check()

    monkeypatch.setattr(starting, "start", start)
    play = Play(pod_of(*amounts_of(100)))
    play.settle()
    machine = Machine(play.pod)
    acts = Acts(
        cast(Any, SimpleNamespace(runtime=machine, planner=machine, now=lambda: NOW)), "u", play.memory, gone=False
    )
    acts.containers, acts.sandbox = tuple(play.runs.values()), play.sandbox
    pod = {**play.pod, "spec": {**play.pod["spec"], "containers": amounts_of(300)}}
    await acts.act(pod, Action(START, "a", attempt=1))
    assert not acts.memory.problems and machine.whole == pod_resources(pod)


def test_what_is_kept_has_no_limits_that_were_never_there() -> None:
    play = Play(pod_of(one(resources={"requests": {"cpu": "1"}}), resources={"requests": {"cpu": "2"}}))
    play.settle()
    wanted = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}
    pod = {**play.pod, "spec": {"containers": [one(resources=wanted)], "resources": wanted}}
    found = resizing.allowed(pod, parts_of(pod, list(play.runs.values())), play.memory, True)["spec"]
    assert found["containers"][0]["resources"] == {"requests": {"cpu": "1"}}
    assert found["resources"] == {"requests": {"cpu": "2"}}


def test_a_pod_is_never_narrower_than_its_containers() -> None:
    """The kernel refuses a quota above that of the group around it."""
    old = Resources(memory=64, memory_swap=64, cpu_shares=10, cpu_period=100, cpu_quota=50)
    new = Resources(memory=32, memory_swap=32, cpu_shares=20, cpu_period=100, cpu_quota=80)
    between = Resources(memory=64, memory_swap=64, cpu_shares=20, cpu_period=100, cpu_quota=80)
    assert wider(old, new) == between
    assert wider(new, old) == Resources(memory=64, memory_swap=64, cpu_shares=10, cpu_period=100, cpu_quota=80)
    assert wider(old, Resources()) == Resources(cpu_period=100)
