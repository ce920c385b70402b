"""What a node under pressure does: decisions alone."""

import asyncio
from typing import Any

from agent_kit import Node, is_in, is_ready, running_node
from msgspec.structs import replace
from world_kit import eventually

from boxship.cluster.node.eviction.collecting import Limits, ended_to_go, images_to_go
from boxship.cluster.node.eviction.keeping import with_volumes
from boxship.cluster.node.eviction.pressure import (
    DISK,
    GIB,
    MEMORY,
    MIB,
    THRESHOLDS,
    Threshold,
    Watched,
    conditions,
    look,
)
from boxship.cluster.node.eviction.ranking import first_to_go, over_limits
from boxship.cluster.node.planning import VolumeUse
from boxship.cluster.node.runtime import EXITED, RUNNING, ContainerStatus, ImageStatus, MachineUsage, PodUsage, Usage
from boxship.cluster.objects import Object

CALM = MachineUsage(Usage(0, processes=100), 8 * GIB, 6 * GIB, 100 * GIB, 60 * GIB, 1_000_000, 900_000, 32_768)


def pod(uid: str, priority: int = 0, **resources: Any) -> Object:
    spec = {"priority": priority, "containers": [{"name": "a", "image": "one", "resources": resources}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": uid, "uid": uid}, "spec": spec}


def using(uid: str, **amounts: int) -> PodUsage:
    return PodUsage(uid, Usage(0, **amounts), {"a": Usage(0, **amounts)})


def test_a_calm_machine_is_short_of_nothing() -> None:
    shortages, watched = look(CALM, THRESHOLDS, Watched(), 100.0)
    assert not shortages and not any(conditions(watched, 100.0).values())


def test_a_large_disk_is_not_short_by_its_percentage_alone() -> None:
    nearly_full = replace(CALM, disk_available=5 * GIB)
    assert not look(nearly_full, THRESHOLDS, Watched(), 0.0)[0]
    full = replace(CALM, disk_available=GIB)
    assert [one.threshold.signal for one in look(full, THRESHOLDS, Watched(), 0.0)[0]] == [DISK]


def test_a_soft_threshold_has_to_be_met_for_a_while() -> None:
    soft = Threshold(MEMORY, 500 * MIB, grace=60.0, pod_grace=30.0)
    short = replace(CALM, memory_available=300 * MIB)
    shortages, watched = look(short, (soft,), Watched(), 0.0)
    assert not shortages and conditions(watched, 0.0)["MemoryPressure"]
    assert not look(short, (soft,), watched, 59.0)[0]
    assert look(short, (soft,), watched, 60.0)[0]
    _, watched = look(CALM, (soft,), watched, 70.0)
    assert conditions(watched, 200.0)["MemoryPressure"]
    assert not conditions(watched, 400.0)["MemoryPressure"]


def test_who_uses_more_than_he_asked_for_goes_first_then_the_least_important() -> None:
    (shortage,), _ = look(replace(CALM, memory_available=50 * MIB), THRESHOLDS, Watched(), 0.0)
    modest = pod("modest", requests={"memory": "1Gi"})
    important, greedy, small = pod("important", 1000), pod("greedy"), pod("small")
    critical = pod("critical", 2_000_000_000)
    pods = [modest, important, greedy, small, critical]
    usages = [using(one["metadata"]["uid"], working_set=200 * MIB) for one in pods]
    usages[2] = using("greedy", working_set=300 * MIB)
    victim = first_to_go(shortage, pods, usages)
    assert victim is not None and victim.uid == "greedy"
    assert victim.message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container a was using 300Mi, request is 0, has larger consumption of memory. "
    )
    order = []
    while pods:
        victim = first_to_go(shortage, pods, usages)
        if victim is None:
            break
        order.append(victim.uid)
        pods = [one for one in pods if one["metadata"]["uid"] != victim.uid]
    assert order == ["greedy", "small", "important", "modest"]


def test_local_storage_has_limits() -> None:
    limited = pod("p", limits={"ephemeral-storage": "1Mi"})
    assert not over_limits(limited, using("p", disk=1000), {})
    assert over_limits(limited, using("p", disk=2 * MIB), {}).startswith("Container a exceeded its local ephemeral")
    assert over_limits(limited, using("p", disk=1000), {"v": (2 * MIB, None)}).startswith("Pod ephemeral local storage")
    assert 'EmptyDir volume "v" exceeds the limit "1Ki"' in over_limits(pod("p"), using("p"), {"v": (2000, 1024)})


def test_images_that_can_be_had_again_go_the_longest_unused_first() -> None:
    full = replace(CALM, disk_available=5 * GIB)
    old = ImageStatus("old", size=8 * GIB, used_at=1)
    images = [
        ImageStatus("new", size=8 * GIB, used_at=int(500e9)),
        old,
        ImageStatus("built", size=GIB, local=True),
        ImageStatus("pushed", ("web:1", "r.test/web:1"), ("r.test/web@sha256:" + "1" * 64,), size=GIB),
        ImageStatus("used", size=GIB, used_at=1),
        ImageStatus("older", size=8 * GIB),
        ImageStatus("fresh", size=GIB, used_at=int(999e9)),
    ]
    going = images_to_go(images, {"used"}, full, Limits(), 1000.0, urgent=False)
    assert [image.id for image in going] == ["older", "old"]
    assert not images_to_go(images, {"used"}, CALM, Limits(), 1000.0, urgent=False)


def test_a_short_disk_takes_all_images_that_are_unused() -> None:
    small = replace(CALM, disk_capacity=300 * MIB, disk_available=100 * MIB)
    images = [ImageStatus("a", size=MIB), ImageStatus("b", size=MIB, used_at=int(990e9)), ImageStatus("c", size=MIB)]
    assert [image.id for image in images_to_go(images, {"c"}, small, Limits(), 1000.0, urgent=True)] == ["a"]
    assert [image.id for image in images_to_go(images, (), small, Limits(age=0), 1000.0, urgent=True)] == [
        "a",
        "c",
        "b",
    ]


def test_a_copy_of_another_nodes_image_may_go_and_one_of_our_own_may_not() -> None:
    full = replace(CALM, disk_available=5 * GIB)
    name = "docker.io/library/web:1"
    copy = ImageStatus("copy", ("web:1",), size=GIB, local=True, nodes={name: "n2"})
    both = replace(copy, id="both", tags=("web:1", "mine:1"))
    own = replace(copy, id="own", nodes={})
    assert [one.id for one in images_to_go([copy, both, own], (), full, Limits(), 1000.0, urgent=False)] == ["copy"]


def test_which_ended_containers_go() -> None:
    def run(uid: str, attempt: int, phase: str = EXITED) -> ContainerStatus:
        return ContainerStatus(f"{uid}{attempt}", uid, "a", attempt, phase, 0)

    runs = [run("over", 0), run("over", 1), run("alive", 0), run("alive", 1, RUNNING), run("ended", 3), run("no", 0)]
    assert [one.id for one in ended_to_go(runs, {"over"}, {"over", "alive", "ended"})] == ["over0", "over1", "alive0"]


def test_who_fills_volumes_goes_before_others() -> None:
    (shortage,), _ = look(replace(CALM, disk_available=GIB), THRESHOLDS, Watched(), 0.0)
    volumes = {"filler": (VolumeUse("v", GIB, 5),)}
    usages = [using("filler", disk=MIB), using("other", disk=50 * MIB)]
    shown = [with_volumes(usage, volumes.get(usage.uid, ())) for usage in usages]
    victim = first_to_go(shortage, [pod("other"), pod("filler")], shown)
    assert victim is not None and victim.uid == "filler"
    assert shown[0].pod.inodes == 5 and shown[1] == usages[1]
    (inodes,), _ = look(replace(CALM, inodes_free=1000), THRESHOLDS, Watched(), 0.0)
    victim = first_to_go(inodes, [pod("a"), pod("b", 5)], [using("a", inodes=10), using("b", inodes=10_000)])
    assert victim is not None and victim.uid == "a", "the least important of those that use more than they asked for"


async def test_a_pod_is_evicted(tmp_path: Any, monkeypatch: Any) -> None:
    async with running_node(tmp_path) as node:
        monkeypatch.setattr("boxship.cluster.node.eviction.keeping.LOOK_SECONDS", 0.05)
        await node.pod("web")
        await node.until("web", is_ready)
        await _make_short(node)
        status = await node.until("web", is_in("Failed"), seconds=15)
        assert status["reason"] == "Evicted" and "low on resource: memory" in status["message"]
        assert any(one["type"] == "DisruptionTarget" for one in status["conditions"])

        async def under_pressure() -> bool:
            found = await node.world.client.get("v1/nodes", "", "n1")
            return any(
                one["type"] == "MemoryPressure" and one["status"] == "True" for one in found["status"]["conditions"]
            )

        await eventually(under_pressure, "the node says so")


async def _make_short(node: Node) -> None:
    await node.kill()

    async def usage(*, fresh: bool = False) -> Any:
        await asyncio.sleep(0)
        return replace(CALM, memory_available=MIB), [using(uid, working_set=MIB) for uid in node.runtime.pods]

    node.runtime.usage = usage  # type: ignore[method-assign]
    node.begin()
