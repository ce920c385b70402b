"""The configuration, the pods that wait, what is worth another look, and explanations."""

from typing import Any

import msgspec
import pytest
from scheduler_kit import HOSTNAME, ZONE, node, one, pod, world_of

from boxship.cluster.objects.selectors import of_set
from boxship.cluster.scheduler import hints
from boxship.cluster.scheduler.deciding import Profile, decide
from boxship.cluster.scheduler.explaining import explain
from boxship.cluster.scheduler.nodes import node_of
from boxship.cluster.scheduler.plugins.resources import NodeResourcesFit
from boxship.cluster.scheduler.profiles import API_VERSION, KIND, read_settings
from boxship.cluster.scheduler.shapes import pod_of
from boxship.cluster.scheduler.waiting import FORGOTTEN, Waiting
from boxship.errors import BoxshipError

GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


def config(*profiles: Any, **more: Any) -> Any:
    return {"apiVersion": API_VERSION, "kind": KIND, "profiles": list(profiles), **more}


def test_profiles_have_their_own_rules() -> None:
    packing = {
        "type": "RequestedToCapacityRatio",
        "resources": [{"name": "cpu", "weight": 2}],
        "requestedToCapacityRatio": {"shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]},
    }
    settings = read_settings(
        config(
            {},
            {
                "schedulerName": "packing",
                "plugins": {
                    "score": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit", "weight": 7}]},
                    "filter": {"disabled": [{"name": "NodePorts"}]},
                    "postFilter": {"disabled": [{"name": "DefaultPreemption"}]},
                    "multiPoint": {"disabled": [{"name": "NodeVolumeLimits"}]},
                },
                "pluginConfig": [
                    {"name": "NodeResourcesFit", "args": {"kind": "NodeResourcesFitArgs", "scoringStrategy": packing}},
                    {"name": "DefaultPreemption", "args": {"minCandidateNodesAbsolute": 5}},
                ],
            },
            podMaxBackoffSeconds=30,
        )
    )
    plain, packs = settings.profiles["default-scheduler"], settings.profiles["packing"]
    assert plain == Profile()
    assert [(each.name, weight) for each, weight in packs.scores] == [("NodeResourcesFit", 7)]
    assert "NodePorts" not in {each.name for each in packs.filters}
    fit = packs.scores[0][0]
    assert isinstance(fit, NodeResourcesFit) and fit.curve == ((0, 0), (100, 10)) and fit in packs.filters
    assert (packs.preempts, packs.candidates, settings.longest_pause) == (False, (10, 5), 30.0)
    world = world_of([node("a"), node("b")], [pod("p", on="b", cpu="1")])
    assert decide(world, one(cpu="1"), packs).node == "b"
    assert decide(world, one(cpu="1"), plain).node == "a"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"kind": KIND}, API_VERSION),
        (config({"scheduler": "x"}), "unknown field `scheduler`"),
        (config({}, {}), "there are two of that name"),
        (config(parallelism=4), "unknown field `parallelism`"),
        (config(extenders=[{}]), "unknown field `extenders`"),
        (config(percentageOfNodesToScore=5), "unsupported: percentageOfNodesToScore"),
        (config(leaderElection={"leaderElect": True}), "unsupported: leaderElection.leaderElect"),
        (config({"plugins": {"permit": {"enabled": [{"name": "X"}]}}}), "unsupported: plugins.permit"),
        (config({"plugins": {"score": {"enabled": [{"name": "X"}]}}}), "unsupported: plugins.score.enabled X"),
        (config({"plugins": {"bind": {"disabled": [{"name": "*"}]}}}), "unsupported: plugins.bind.disabled"),
        (config({"pluginConfig": [{"name": "VolumeBinding"}]}), "unsupported: pluginConfig VolumeBinding"),
        (config({"pluginConfig": [{"name": "NodeAffinity", "args": {"x": 1}}]}), "unknown field `x`"),
        (
            config({"pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "Best"}}}]}),
            "scoringStrategy.type Best",
        ),
    ],
)
def test_refuses_what_it_does_not_do(document: Any, told: str) -> None:
    with pytest.raises(BoxshipError) as refused:
        read_settings(document)
    assert told in str(refused.value)


def test_spreads_by_the_configured_default() -> None:
    spread = {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}
    args = {"defaultConstraints": [spread], "defaultingType": "List"}
    settings = read_settings(config({"pluginConfig": [{"name": "PodTopologySpread", "args": args}]}))
    owner = [{"kind": "ReplicaSet", "name": "web", "uid": "1", "controller": True}]
    new = pod("new", labels={"app": "a"})
    new["metadata"]["ownerReferences"] = owner
    world = world_of(
        [node("a", zone="x"), node("b", zone="y", cpu="100m")], [pod("p", on="a", labels={"app": "a"}, cpu="1m")]
    )
    found = pod_of(new)
    assert decide(world, found, settings.profiles["default-scheduler"]).node
    world.put_set(("default", "web"), "ReplicaSet", of_set({"app": "a"}))
    assert decide(world, found, settings.profiles["default-scheduler"]).node == "b"


def test_who_waits_is_served_in_order() -> None:
    waiting = Waiting()
    for number, (name, priority) in enumerate([("late", 0), ("low", 0), ("high", 5)]):
        waiting.put(one(name, priority=priority), float(number))
    taken = [waiting.take(3.0) for _ in range(4)]
    assert [pod and pod.key[1] for pod in taken] == ["high", "late", "low", None]


def test_who_is_stuck_waits_for_what_stands_in_the_way() -> None:
    waiting = Waiting()
    waiting.put(one("a"), 0.0)
    assert waiting.take(0.0)
    waiting.stick("default/a", [hints.FIT], 0.0)
    waiting.put(one("a"), 0.5)  # its status has changed, nothing else
    waiting.hint([hints.TAINTS], 0.5)
    assert waiting.take(100.0) is None
    waiting.hint([hints.FIT], 0.5)
    assert waiting.take(0.5) is not None  # nothing else is to be done: its pause is cut short
    waiting.stick("default/a", [hints.FIT], 10.0)
    waiting.hint(None, 20.0)
    assert waiting.take(20.0) is not None
    waiting.stick("default/a", [hints.FIT], 20.0)
    waiting.look_again(20.0 + FORGOTTEN)
    assert waiting.take(20.0 + FORGOTTEN) is not None
    waiting.stick("default/a", [hints.FIT], 400.0)
    waiting.put(one("a", cpu="1"), 401.0)  # it asks for something else now
    assert waiting.take(401.0) is not None


def test_errors_pause_longer_and_longer() -> None:
    waiting = Waiting()
    waiting.put(one("a"), 0.0)
    now, pauses = 0.0, []
    for _ in range(6):
        assert waiting.take(now) is not None
        waiting.pause("default/a", now)
        due = waiting.next_due()
        assert due is not None and waiting.take(due - 0.01) is None
        pauses.append(due - now)
        now = due
    assert pauses == [1, 2, 4, 8, 10, 10]


def test_hints_name_the_rules_that_a_change_is_about() -> None:
    before = node_of(node("a"))
    assert hints.of_node(None, before) is None
    assert hints.of_node(before, node_of(node("a", cpu="8"))) == {hints.FIT}
    assert hints.of_node(before, node_of(node("a", cpu="1"))) == set()
    assert hints.of_node(node_of(node("a", unschedulable=True)), before) == {hints.CORDON}
    assert hints.TAINTS in (hints.of_node(node_of(node("a", taints=[GPU])), before) or ())
    assert hints.AFFINITY in (hints.of_node(before, node_of(node("a", labels={"x": "y"}))) or ())
    assert hints.of_pod(None, pod_of(pod("p"))) == set()
    assert hints.FIT in hints.of_pod(pod_of(pod("p", on="a")), None)
    assert hints.of_pod(pod_of(pod("p")), pod_of(pod("p", on="a"))) == {hints.SPREAD, hints.NEIGHBOURS}
    waits = pod_of(pod("p"))
    promised = msgspec.structs.replace(waits, nominated="a")
    assert hints.of_pod(waits, promised) == hints.of_pod(waits, None) == set()
    assert hints.FIT in hints.of_pod(promised, None) & hints.of_pod(promised, waits)  # what was kept free is free
    assert hints.FIT in hints.of_pod(promised, msgspec.structs.replace(promised, deleting=True))
    assert hints.FIT in hints.of_pod(promised, pod_of(pod("p", on="b")))
    assert hints.FIT not in hints.of_pod(promised, pod_of(pod("p", on="a")))


APART = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": HOSTNAME, "labelSelector": {"matchLabels": {"app": "x"}}}
        ]
    }
}
SKEWED = [
    {
        "maxSkew": 1,
        "topologyKey": HOSTNAME,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "x"}},
    }
]


@pytest.mark.parametrize(
    ("nodes", "pods", "new", "told", "tried"),
    [
        ([node("a", unschedulable=True)], [], {}, "uncordon node a", True),
        (
            [node("a", taints=[GPU])],
            [],
            {},
            "let the pod tolerate gpu=yes:NoSchedule, or take that taint from node a",
            True,
        ),
        ([node("a")], [], {"nodeSelector": {"disk": "ssd"}}, "label node a disk=ssd", True),
        (
            [node("a", cpu="1"), node("b", cpu="2")],
            [],
            {"cpu": "2500m"},
            "ask for 2 cpu instead of 2500m, as node b has left",
            True,
        ),
        (
            [node("a", memory="1Gi")],
            [],
            {"memory": "2Gi"},
            "ask for 1Gi memory instead of 2Gi, as node a has left",
            True,
        ),
        ([node("a")], [], {"extra": {"gpu.x/y": "1"}}, "give node a 1 gpu.x/y more, or free it there", True),
        ([node("a", pods="0")], [], {}, "let a pod of node a go, which takes 0 at most", True),
        (
            [node("a")],
            [pod("p", on="a", ports=[80])],
            {"ports": [80]},
            "use another host port than 80/TCP, which is taken on node a",
            True,
        ),
        (
            [node("a")],
            [pod("p", on="a", labels={"app": "x"})],
            {"affinity": APART},
            "move pod default/p away from node a, or drop the required anti-affinity",
            False,
        ),
        (
            [node("a"), node("b", cpu="0", unschedulable=True)],
            [pod(f"p{i}", on="a", labels={"app": "x"}, cpu="10m") for i in range(2)],
            {"labels": {"app": "x"}, "topologySpreadConstraints": SKEWED, "cpu": "1m"},
            "raise maxSkew of kubernetes.io/hostname from 1 to 3",
            True,
        ),
        (
            [node("a", unschedulable=True), node("b", unschedulable=True, taints=[GPU])],
            [],
            {},
            "uncordon node a",
            True,
        ),
        (
            [node("b", unschedulable=True, taints=[GPU])],
            [],
            {},
            "uncordon node b; let the pod tolerate gpu=yes:NoSchedule, or take that taint from node b",
            True,
        ),
    ],
)
def test_tells_the_smallest_change(nodes: Any, pods: Any, new: Any, told: str, tried: bool) -> None:
    world = world_of(nodes, pods)
    version = world.version
    found = explain(world, one(**new), Profile())
    assert (found.changes[0].text, found.changes[0].is_tried) == (told, tried)
    assert world.version == version
    assert found.message.startswith(f"0/{len(nodes)} nodes are available: ")
    assert all(answer.broken for answer in found.nodes)


def test_tells_why_a_node_was_chosen() -> None:
    world = world_of([node("a"), node("b", taints=[GPU]), node("c")], [pod("p", on="a", cpu="1")])
    placed = pod_of(pod("new", on="c", cpu="1"))
    world.put_pod(placed)
    found = explain(world, placed, Profile())
    assert (found.decision.node, [answer.node for answer in found.nodes]) == ("c", ["c", "a", "b"])
    assert found.nodes[0].total > found.nodes[1].total > 0
    assert [verdict.plugin for verdict in found.nodes[2].broken] == ["TaintToleration"]
    assert world.pods[placed.uid].node == "c"


def test_a_resize_that_cannot_be_takes_no_more_than_there_is() -> None:
    """While it may be, the larger amount counts."""
    grows = pod("grows", on="a", cpu="4")
    name = grows["spec"]["containers"][0]["name"]
    grows["status"] = {"containerStatuses": [{"name": name, "resources": {"requests": {"cpu": "1"}}}]}
    assert pod_of(grows).shape.requests["cpu"] == 4000
    grows["status"]["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]
    assert pod_of(grows).shape.requests["cpu"] == 1000
    whole = pod("whole", on="a")
    whole["spec"]["resources"] = {"requests": {"cpu": "4"}}
    whole["status"] = {"allocatedResources": {"cpu": "6"}}
    assert pod_of(whole).shape.requests["cpu"] == 6000
