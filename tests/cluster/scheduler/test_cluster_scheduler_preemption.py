"""Who has to go for a pod of higher priority: as few broken budgets as possible, then the least important; never more
than needed, never somebody as important."""

import random
from typing import Any

from scheduler_kit import node, one, pod, world_of

from boxship.cluster.objects.selectors import of_set
from boxship.cluster.scheduler.deciding import Profile, decide
from boxship.cluster.scheduler.preemption import Budget, Preemption, preempt
from boxship.cluster.scheduler.world import World

GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


def tried(world: World, budgets: tuple[Budget, ...] = (), **new: Any) -> Preemption:
    asked = one(**{"priority": 10, "cpu": "2", **new})
    decision = decide(world, asked, Profile())
    assert not decision.node
    return preempt(world, decision, Profile(), budgets)


def names(found: Preemption) -> tuple[str, list[str]]:
    return found.node, [victim.key[1] for victim in found.victims]


def test_takes_the_least_important_and_no_more_than_needed() -> None:
    nodes = [node("a", cpu="2"), node("b", cpu="2"), node("c", cpu="2")]
    pods = [
        pod("a1", on="a", cpu="2", priority=5),
        pod("b1", on="b", cpu="1", priority=1),
        pod("b2", on="b", cpu="1", priority=3),
        pod("c1", on="c", cpu="2", priority=10),
    ]
    assert names(tried(world_of(nodes, pods))) == ("b", ["b2", "b1"])
    assert names(tried(world_of(nodes, pods), cpu="1")) == ("b", ["b1"])


def test_of_equals_those_that_began_last() -> None:
    nodes = [node("a", cpu="2"), node("b", cpu="2")]
    pods = [
        pod("old", on="a", cpu="2", priority=1, started="2026-01-01T00:00:00Z"),
        pod("young", on="b", cpu="2", priority=1, started="2026-01-02T00:00:00Z"),
    ]
    assert names(tried(world_of(nodes, pods))) == ("b", ["young"])


def test_keeps_budgets_where_it_can() -> None:
    nodes = [node("a", cpu="2"), node("b", cpu="2")]
    pods = [
        pod("guarded", on="a", cpu="2", priority=1, labels={"app": "db"}),
        pod("free", on="b", cpu="2", priority=5),
    ]
    budget = Budget("default", of_set({"app": "db"}), 0)
    assert names(tried(world_of(nodes, pods), (budget,))) == ("b", ["free"])
    assert names(tried(world_of(nodes[:1], pods[:1]), (budget,))) == ("a", ["guarded"])
    both = [pod(f"p{i}", on="a", cpu="1", priority=1, labels={"app": "db"} if i else {}) for i in range(2)]
    assert names(tried(world_of(nodes[:1], both), (budget,), cpu="1")) == ("a", ["p0"])


def test_says_why_it_does_not_help() -> None:
    nodes = [node("a", cpu="2"), node("b", cpu="1"), node("c", taints=[GPU])]
    pods = [pod("a1", on="a", cpu="2", priority=10)]
    said = tried(world_of(nodes, pods)).message
    assert said == (
        "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )
    never = tried(world_of(nodes, pods), preemptionPolicy="Never").message
    assert never == "preemption: not eligible due to preemptionPolicy=Never."
    going = pod("low", on="a", cpu="2", priority=1)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    waits = tried(world_of(nodes[:1], [going]), nominated="a").message
    assert waits == "preemption: not eligible due to a terminating pod on the nominated node."


def test_who_goes_already_is_enough() -> None:
    """Pods that are being deleted for another one free their place too: nobody is spared in their stead."""
    goes = pod("goes", on="a", cpu="1", priority=3, labels={"app": "db"})
    goes["metadata"]["deletionTimestamp"] = "2026-01-03T00:00:00Z"
    others = [pod(f"stays-{i}", on="a", cpu="1", priority=1, started="2026-01-02T00:00:00Z") for i in range(2)]
    cheap = pod("cheap", on="b", cpu="3", priority=0)
    world = world_of([node("a", cpu="3"), node("b", cpu="3")], [goes, *others, cheap])
    budget = Budget("default", of_set({"app": "db"}), 0)
    assert names(tried(world, (budget,), cpu="1")) == ("a", ["goes"])
    assert names(tried(world_of([node("a", cpu="3")], [goes, *others]), (budget,), cpu="2")) == (
        "a",
        ["goes", "stays-1"],
    )


def test_a_node_is_kept_free_for_who_was_promised_it() -> None:
    promised = pod("promised", cpu="2", priority=5, nominated="a")
    world = world_of([node("a", cpu="2")], [promised])
    assert decide(world, one(cpu="1", priority=1), Profile()).message == (
        "0/1 nodes are available: 1 Insufficient cpu."
    )
    assert decide(world, one(cpu="1", priority=6), Profile()).node == "a"
    assert decide(world, one("promised", cpu="2", priority=5, nominated="a"), Profile()).node == "a"


def test_ports_and_neighbours_can_be_freed() -> None:
    apart = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}
            ]
        }
    }
    world = world_of(
        [node("a")],
        [
            pod("port", on="a", ports=[80], priority=1),
            pod("x", on="a", labels={"app": "x"}, priority=2),
            pod("y", on="a"),
        ],
    )
    assert names(tried(world, ports=[80], affinity=apart)) == ("a", ["x", "port"])


def test_never_takes_more_than_needed_nor_changes_the_snapshot() -> None:
    for seed in range(150):
        dice = random.Random(seed)
        nodes = [node(f"n{i}", cpu=str(dice.randint(1, 4)), pods="6") for i in range(3)]
        pods, world = [], world_of(nodes)
        for number in range(12):
            new = pod(f"p{number}", cpu=f"{dice.randint(1, 12)}00m", priority=dice.randint(0, 9))
            decision = decide(
                world,
                one(
                    f"p{number}",
                    cpu=new["spec"]["containers"][0]["resources"]["requests"]["cpu"],
                    priority=new["spec"]["priority"],
                ),
                Profile(),
            )
            if decision.node:
                new["spec"]["nodeName"] = decision.node
                pods.append(new)
                world = world_of(nodes, pods)
        asked = one(cpu=f"{dice.randint(1, 4)}", priority=dice.randint(0, 9))
        decision = decide(world, asked, Profile())
        if decision.node:
            continue
        before = {name: sorted(world.pods_at[place]) for name, place in world.places.items()}
        version = world.version
        found = preempt(world, decision, Profile())
        after = {name: sorted(world.pods_at[place]) for name, place in world.places.items()}
        assert (before, version) == (after, world.version)
        assert all(victim.shape.priority < asked.shape.priority for victim in found.victims)
        gone = {victim.key[1] for victim in found.victims}
        left = [each for each in pods if each["metadata"]["name"] not in gone]
        if found.node:
            assert decide(
                world_of([each for each in nodes if each["metadata"]["name"] == found.node], left), asked, Profile()
            ).node
            for spared in gone:  # each of them is needed
                more = [*left, next(each for each in pods if each["metadata"]["name"] == spared)]
                only = [each for each in nodes if each["metadata"]["name"] == found.node]
                assert not decide(world_of(only, more), asked, Profile()).node
        else:  # nobody's going helps
            high = [each for each in pods if each["spec"]["priority"] >= asked.shape.priority]
            assert not decide(world_of(nodes, high), asked, Profile()).node
