"""Each rule by itself: which nodes pass, which is chosen, and what is told of the others, in the original's words."""

from typing import Any

import msgspec
import pytest
from scheduler_kit import HOSTNAME, ZONE, node, one, pod, world_of

from boxship.cluster.objects.selectors import of_set
from boxship.cluster.scheduler.deciding import NO_NODES, Profile, decide, place_all
from boxship.cluster.scheduler.plugins import SCORES
from boxship.cluster.scheduler.plugins.limits import NodeVolumeLimits
from boxship.cluster.scheduler.plugins.resources import MOST, RATIO, NodeResourcesFit
from boxship.cluster.scheduler.shapes import pod_of
from boxship.cluster.scheduler.stages import Task
from boxship.cluster.scheduler.storage import claim_of, class_of, limits_of, volume_of
from boxship.cluster.scheduler.vectors import ALL
from boxship.cluster.scheduler.world import World

GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
APP = {"matchLabels": {"app": "a"}}


def affinity(kind: str, *terms: Any) -> dict[str, Any]:
    return {kind: {REQUIRED: {"nodeSelectorTerms": list(terms)} if kind == "nodeAffinity" else list(terms)}}


def near(key: str = HOSTNAME, **more: Any) -> dict[str, Any]:
    return {"topologyKey": key, "labelSelector": APP, **more}


def spread(key: str = ZONE, skew: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "maxSkew": skew,
        "topologyKey": key,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": APP,
        **more,
    }


# What stands on the cluster, what the new pod is like, and the message when it finds no node.
REFUSED: dict[str, tuple[list[Any], list[Any], dict[str, Any], str]] = {
    "cordoned": ([node("a", unschedulable=True)], [], {}, "1 node(s) were unschedulable"),
    "taint": ([node("a", taints=[GPU])], [], {}, "1 node(s) had untolerated taint(s)"),
    "selector": (
        [node("a")],
        [],
        {"nodeSelector": {"disk": "ssd"}},
        "1 node(s) didn't match Pod's node affinity/selector",
    ),
    "field": (
        [node("a")],
        [],
        {
            "affinity": affinity(
                "nodeAffinity", {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
            )
        },
        "1 node(s) didn't match Pod's node affinity/selector",
    ),
    "empty term": (
        [node("a")],
        [],
        {"affinity": affinity("nodeAffinity", {})},
        "1 node(s) didn't match Pod's node affinity/selector",
    ),
    "port": (
        [node("a")],
        [pod("p", on="a", ports=[80])],
        {"ports": [80]},
        "1 node(s) didn't have free ports for the requested pod ports",
    ),
    "resources": (
        [node("a", cpu="1", memory="1Gi")],
        [pod("p", on="a", cpu="800m")],
        {"cpu": "500m", "memory": "2Gi", "extra": {"example.com/gpu": "1"}},
        "1 Insufficient cpu, 1 Insufficient example.com/gpu, 1 Insufficient memory",
    ),
    "too many": ([node("a", pods="1")], [pod("p", on="a")], {}, "1 Too many pods"),
    "overhead": ([node("a", cpu="1")], [], {"cpu": "800m", "overhead": {"cpu": "300m"}}, "1 Insufficient cpu"),
    "init container": (
        [node("a", cpu="1")],
        [],
        {"initContainers": [{"name": "i", "resources": {"requests": {"cpu": "2"}}}]},
        "1 Insufficient cpu",
    ),
    "pod level": ([node("a", cpu="1")], [], {"resources": {"requests": {"cpu": "2"}}}, "1 Insufficient cpu"),
    "spread": (
        [node("a", zone="x"), node("b", zone="y", unschedulable=True)],
        [pod("p", on="a", labels={"app": "a"})],
        {"labels": {"app": "a"}, "topologySpreadConstraints": [spread()]},
        "1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable",
    ),
    "spread label": (
        [node("a")],
        [],
        {"topologySpreadConstraints": [spread()]},
        "1 node(s) didn't match pod topology spread constraints (missing required label)",
    ),
    "min domains": (
        [node("a", zone="x")],
        [pod("p", on="a", labels={"app": "a"})],
        {"labels": {"app": "a"}, "topologySpreadConstraints": [spread(minDomains=2)]},
        "1 node(s) didn't match pod topology spread constraints",
    ),
    "near": (
        [node("a")],
        [],
        {"affinity": affinity("podAffinity", near())},
        "1 node(s) didn't match pod affinity rules",
    ),
    "apart": (
        [node("a")],
        [pod("p", on="a", labels={"app": "a"})],
        {"affinity": affinity("podAntiAffinity", near())},
        "1 node(s) didn't match pod anti-affinity rules",
    ),
    "unwanted": (
        [node("a")],
        [pod("p", on="a", affinity=affinity("podAntiAffinity", near()))],
        {"labels": {"app": "a"}},
        "1 node(s) didn't satisfy existing pods anti-affinity rules",
    ),
    "by namespace": (
        [node("a")],
        [pod("p", on="a", labels={"app": "a"}, namespace="other")],
        {"affinity": affinity("podAntiAffinity", near(namespaceSelector={"matchLabels": {"team": "other"}}))},
        "1 node(s) didn't match pod anti-affinity rules",
    ),
    "same key": (
        [node("a")],
        [pod("p", on="a", labels={"app": "a", "hash": "1"})],
        {
            "labels": {"app": "a", "hash": "1"},
            "affinity": affinity("podAntiAffinity", near(matchLabelKeys=["hash"])),
        },
        "1 node(s) didn't match pod anti-affinity rules",
    ),
    "several": (
        [node("a", taints=[GPU]), node("b", cpu="1"), node("c", taints=[GPU])],
        [],
        {"cpu": "2"},
        "1 Insufficient cpu, 2 node(s) had untolerated taint(s)",
    ),
}

# The same, and the node that is chosen.
CHOSEN: dict[str, tuple[list[Any], list[Any], dict[str, Any], str]] = {
    "emptiest": ([node("a"), node("b")], [pod("p", on="a", cpu="1")], {"cpu": "1"}, "b"),
    "fewest pods": ([node("a"), node("b")], [pod("p", on="a", cpu="1m", memory="1")], {}, "b"),
    "tolerated": (
        [node("a", taints=[GPU]), node("b", cpu="100m")],
        [],
        {"cpu": "1", "tolerations": [{"key": "gpu", "operator": "Exists"}]},
        "a",
    ),
    "rather untainted": ([node("a", taints=[{**GPU, "effect": "PreferNoSchedule"}]), node("b", cpu="2")], [], {}, "b"),
    "rather labelled": (
        [node("a"), node("b", labels={"disk": "ssd"}, cpu="3")],
        [],
        {
            "affinity": {
                "nodeAffinity": {
                    PREFERRED: [
                        {"weight": 5, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
                    ]
                }
            }
        },
        "b",
    ),
    "first of its kind": (
        [node("a")],
        [],
        {"labels": {"app": "a"}, "affinity": affinity("podAffinity", near())},
        "a",
    ),
    "near in the zone": (
        [node("a", zone="x", pods="1"), node("b", zone="y"), node("c", zone="x")],
        [pod("p", on="a", labels={"app": "a"})],
        {"affinity": affinity("podAffinity", near(ZONE))},
        "c",
    ),
    "rather near": (
        [node("a"), node("b")],
        [pod("p", on="a", labels={"app": "a"}, cpu="1")],
        {"affinity": {"podAffinity": {PREFERRED: [{"weight": 9, "podAffinityTerm": near()}]}}},
        "a",
    ),
    "another revision": (
        [node("a"), node("b", unschedulable=True)],
        [pod("p", on="a", labels={"app": "a", "hash": "1"})],
        {
            "labels": {"app": "a", "hash": "2"},
            "topologySpreadConstraints": [spread(HOSTNAME, nodeAffinityPolicy="Honor", matchLabelKeys=["hash"])],
        },
        "a",
    ),
    "who goes does not count": (
        [node("a", zone="x"), node("b", zone="y", cpu="1")],
        [{**pod("p", on="a", labels={"app": "a"}, cpu="100m")}],
        {"labels": {"app": "a"}, "cpu": "2", "topologySpreadConstraints": [spread()]},
        "a",
    ),
    "image": (
        [node("a"), node("b", images=[{"names": ["app:latest"], "sizeBytes": 900 << 20}])],
        [],
        {},
        "b",
    ),
    "other address": ([node("a")], [pod("p", on="a", ports=[80])], {"ports": [81]}, "a"),
}
CHOSEN["who goes does not count"][1][0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("wide", [0, 1000], ids=["arrays", "lists"])
@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case: str, wide: int) -> None:
    nodes, pods, new, message = REFUSED[case]
    decision = decide(world_of(nodes, pods, wide=wide), one(**new), Profile())
    assert (decision.node, decision.message) == ("", f"0/{len(nodes)} nodes are available: {message}.")


@pytest.mark.parametrize("wide", [0, 1000], ids=["arrays", "lists"])
@pytest.mark.parametrize("case", CHOSEN)
def test_chooses(case: str, wide: int) -> None:
    nodes, pods, new, expected = CHOSEN[case]
    decision = decide(world_of(nodes, pods, wide=wide), one(**new), Profile())
    assert decision.node == expected, decision.message


def test_no_nodes_and_gates() -> None:
    assert decide(World(), one(), Profile()).message == NO_NODES
    gated = decide(world_of([node("a")]), one(schedulingGates=[{"name": "x"}, {"name": "y"}]), Profile())
    assert (gated.node, gated.rejected) == ("", "waiting for scheduling gates: [x y]")


def test_a_pod_that_names_its_node() -> None:
    world = world_of([node("a"), node("b")])
    new = one()
    pinned = msgspec.structs.replace(new, shape=msgspec.structs.replace(new.shape, node_name="b"))
    assert decide(world, pinned, Profile()).node == "b"
    gone = msgspec.structs.replace(new, shape=msgspec.structs.replace(new.shape, node_name="c"))
    assert "2 node(s) didn't match the requested node name" in decide(world, gone, Profile()).message


def with_fit(fit: NodeResourcesFit) -> Profile:
    return Profile(scores=tuple((fit if each.name == fit.name else each, weight) for each, weight in SCORES))


def test_packs_where_the_configuration_says_so() -> None:
    nodes = [node("a"), node("b"), node("c")]
    world = world_of(nodes, [pod("p", on="b", cpu="1", memory="2Gi")])
    packed = place_all(
        world, [one(f"n{i}", cpu="500m", memory="1Gi") for i in range(6)], with_fit(NodeResourcesFit(strategy=MOST))
    )
    assert {decision.node for decision in packed} == {"b"}
    ratio = NodeResourcesFit(strategy=RATIO, curve=((0, 0), (100, 10)), resources=(("example.com/gpu", 3),))
    gpus = [node(name, extra={"example.com/gpu": "4"}) for name in "ab"]
    world = world_of(gpus, [pod("p", on="b", extra={"example.com/gpu": "1"})])
    placed = place_all(world, [one(f"n{i}", extra={"example.com/gpu": "1"}) for i in range(3)], with_fit(ratio))
    assert [decision.node for decision in placed] == ["b", "b", "b"]


def test_pods_of_a_service_are_spread_by_default() -> None:
    nodes = [
        node(name, cpu="64", memory="64Gi", pods="50", zone=zone) for name, zone in zip("abcd", "xxyy", strict=True)
    ]
    world = world_of(nodes)
    world.put_set(("default", "web"), "Service", of_set({"app": "a"}))
    busy = [pod(f"b{i}", on="a", cpu="1m", memory="1Mi", labels={"app": "a"}) for i in range(6)]
    for each in busy:
        world.put_pod(pod_of(each))
    found = place_all(world, [one(f"n{i}", labels={"app": "a"}) for i in range(6)], Profile())
    assert sorted(decision.node for decision in found).count("a") == 0
    assert sum(decision.node in "cd" for decision in found) >= 4


def storage_world(*nodes: Any) -> World:
    world = world_of(nodes)
    storage = world.storage
    later = {"volumeBindingMode": "WaitForFirstConsumer"}
    here = [{"matchLabelExpressions": [{"key": ZONE, "values": ["y"]}]}]
    for each in (
        {"metadata": {"name": "now"}, "provisioner": "p"},
        {"metadata": {"name": "later"}, "provisioner": "p", **later},
        {"metadata": {"name": "zoned"}, "provisioner": "p", "allowedTopologies": here, **later},
        {"metadata": {"name": "by-hand"}, "provisioner": "kubernetes.io/no-provisioner", **later},
    ):
        storage.put_class(each["metadata"]["name"], class_of(each))
    return world


def claim(name: str, storage_class: str, volume: str = "", **metadata: Any) -> Any:
    return claim_of(
        {
            "metadata": {"namespace": "default", "name": name, "uid": name, **metadata},
            "spec": {
                "storageClassName": storage_class,
                "volumeName": volume,
                "accessModes": metadata.pop("modes", ["ReadWriteOnce"]),
                "resources": {"requests": {"storage": "1Gi"}},
            },
            "status": {"phase": "Bound" if volume else "Pending"},
        }
    )


def volume(name: str, on: str, size: str = "2Gi", **more: Any) -> Any:
    needs = [{"key": HOSTNAME, "operator": "In", "values": [on]}]
    spec = {
        "storageClassName": "by-hand",
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        **({"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": needs}]}}} if on else {}),
    }
    return volume_of({"metadata": {"name": name, **more}, "spec": spec, "status": {"phase": "Available"}})


def using(*claims: str, name: str = "new") -> Any:
    volumes = [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in claims]
    return one(name, volumes=volumes)


def test_volumes_decide_where_a_pod_goes() -> None:
    world = storage_world(node("a", zone="x"), node("b", zone="y"), node("c"))
    storage = world.storage
    ask = lambda *names: decide(world, using(*names), Profile())  # noqa: E731
    assert ask("none").message == '0/3 nodes are available: persistentvolumeclaim "none" not found.'
    storage.put_claim(("default", "now"), claim("now", "now"))
    assert ask("now").message == "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    storage.put_claim(("default", "going"), claim("going", "later", deletionTimestamp="x"))
    assert 'persistentvolumeclaim "going" is being deleted' in ask("going").message
    storage.put_claim(("default", "later"), claim("later", "later"))
    assert ask("later").node
    storage.put_claim(("default", "zoned"), claim("zoned", "zoned"))
    assert ask("zoned").node == "b"
    storage.put_claim(("default", "hand"), claim("hand", "by-hand"))
    assert ask("hand").message == "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind."
    storage.put_volume("v", volume("v", "c"))
    assert ask("hand").node == "c"
    storage.put_claim(("default", "hand2"), claim("hand2", "by-hand"))
    assert not ask("hand", "hand2").node  # one volume for two claims
    storage.put_volume("v2", volume("v2", "c"))
    assert ask("hand", "hand2").node == "c"
    storage.put_claim(("default", "bound"), claim("bound", "by-hand", "far"))
    assert "3 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)" in ask("bound").message
    far = msgspec.structs.replace(volume("far", "b"), claim=("default", "bound", "bound"))
    storage.put_volume("far", far)
    assert ask("bound").node == "b"
    conflict = ask("bound", "hand").message
    assert "2 node(s) had volume node affinity conflict" in conflict
    assert "2 node(s) didn't find available persistent volumes to bind" in conflict
    storage.put_volume("far", volume("far", "", labels={ZONE: "x__z"}))
    assert ask("bound").node in ("a", "c")
    chosen = claim("picked", "later", annotations={"volume.kubernetes.io/selected-node": "b"})
    storage.put_claim(("default", "picked"), chosen)
    assert ask("picked").node == "b"


def test_a_claim_for_one_pod_is_used_by_one() -> None:
    world = storage_world(node("a"), node("b"))
    world.storage.put_claim(("default", "mine"), claim("mine", "by-hand", "v", modes=["ReadWriteOncePod"]))
    world.storage.put_volume("v", volume("v", ""))
    first, second = place_all(world, [using("mine", name="one"), using("mine", name="two")], Profile())
    assert first.node and not second.node
    assert "ReadWriteOncePod access mode" in second.message


def test_a_node_has_so_many_volumes_of_a_driver() -> None:
    world = storage_world(node("a"), node("b"), node("c"))
    storage = world.storage
    drivers = [{"name": "p", "nodeID": "x", "allocatable": {"count": 2}}, {"name": "q", "nodeID": "x"}]
    for name in ("a", "b"):
        storage.put_limits(name, limits_of({"metadata": {"name": name}, "spec": {"drivers": drivers}}))
    for name in ("one", "two", "three", "four"):
        storage.put_claim(("default", name), claim(name, "later", name))
        source = {"csi": {"driver": "p", "volumeHandle": name}}
        made = {"metadata": {"name": name}, "spec": {**source, "storageClassName": "later"}}
        storage.put_volume(name, volume_of(made))
    storage.put_claim(("default", "new"), claim("new", "later"))  # to be made by p
    for name, where in (("one", "a"), ("two", "a"), ("three", "b")):
        world.put_pod(msgspec.structs.replace(using(name, name=name), uid=name, node=where))

    def passes_on(*claims: str) -> set[str]:
        decision = decide(world, using(*claims), Profile())
        assert decision.node
        mask = NodeVolumeLimits().check(Task(world, using(*claims)), ALL)
        return {name for name, place in world.places.items() if mask is None or mask[place]}

    assert passes_on("four") == passes_on("new") == {"b", "c"}  # a is full
    assert passes_on("one") == {"a", "b", "c"}  # it is there already
    assert passes_on("four", "new") == {"c"}  # where nothing is said, there is no limit
    world.remove_node("c")
    message = decide(world, using("four", "new"), Profile()).message
    assert message == "0/2 nodes are available: 2 node(s) exceed max volume count."
    world.remove_pod("one")
    assert passes_on("four") == {"a", "b"}
