"""On random small clusters the scheduler decides as the slow reference does, with lists as with arrays, and never
breaks what is required."""

import copy
import random
from typing import Any

import pytest
from scheduler_kit import ZONE, node, pod, world_of
from scheduler_reference import PREFERRED, REQUIRED, Object, Reference

from boxship.cluster.scheduler.deciding import Profile, decide
from boxship.cluster.scheduler.nodes import node_of
from boxship.cluster.scheduler.shapes import pod_of

NAMESPACES = {name: {"kubernetes.io/metadata.name": name, "team": name} for name in ("default", "other")}
KEYS = ("kubernetes.io/hostname", ZONE, "rack")
CASES = 130
PODS = 14


class Dice:
    """Objects out of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.taste = self.random.random()  # how much the pods of this cluster ask for

    def maybe(self, share: float = 0.25) -> bool:
        return self.random.random() < share

    def labels(self) -> dict[str, str]:
        found = {"app": self.random.choice("ab")}
        return found | ({"tier": self.random.choice("xy")} if self.maybe() else {})

    def selector(self) -> Object | None:
        if self.maybe(0.05):
            return None
        if self.maybe(0.3):
            operator = self.random.choice(["In", "NotIn", "Exists", "DoesNotExist"])
            values = {"values": ["x"]} if operator.endswith("In") else {}
            return {"matchExpressions": [{"key": "tier", "operator": operator, **values}]}
        return {"matchLabels": {"app": self.random.choice("ab")}} if self.maybe(0.9) else {}

    def node(self, number: int) -> Object:
        pick = self.random.choice
        labels = {"rack": pick("12")} if self.maybe(0.6) else {}
        if self.maybe():
            labels["speed"] = pick(["1", "5", "9"])
        taints = [
            {"key": pick(["gpu", "slow"]), "value": pick(["", "yes"]), "effect": effect}
            for effect in ("NoSchedule", "PreferNoSchedule")
            if self.maybe(0.2)
        ]
        images = (
            [{"names": ["app:latest"], "sizeBytes": pick([10 << 20, 300 << 20, 900 << 20])}] if self.maybe() else []
        )
        return node(
            f"n{number}",
            cpu=pick(["1", "2", "4", "1500m"]),
            memory=pick(["1Gi", "3Gi", "8Gi"]),
            pods=pick(["3", "8", "20"]),
            zone=pick(["", "a", "b", "c"]),
            labels=labels,
            taints=taints,
            unschedulable=self.maybe(0.1),
            images=images if self.maybe() else [],
            extra={"example.com/gpu": "2"} if self.maybe() else {},
        )

    def pod(self, number: int, on: str = "") -> Object:
        pick = self.random.choice
        more: dict[str, Any] = {}
        if self.maybe(self.taste * 0.5):
            more["tolerations"] = [self.toleration() for _ in range(self.random.randint(1, 2))]
        if self.maybe(self.taste * 0.3):
            more["nodeSelector"] = {"rack": pick("12")}
        if affinity := self.affinity():
            more["affinity"] = affinity
        if self.maybe(self.taste * 0.6):
            more["topologySpreadConstraints"] = [self.spread() for _ in range(self.random.randint(1, 2))]
        return pod(
            f"p{number}",
            on=on,
            namespace=pick(["default", "default", "other"]),
            labels=self.labels(),
            cpu=pick(["", "100m", "300m", "1"]),
            memory=pick(["", "64Mi", "500Mi", "1Gi"]),
            extra={"example.com/gpu": "1"} if self.maybe(0.1) else {},
            ports=[8080] if self.maybe(0.1) else [],
            **more,
        )

    def toleration(self) -> Object:
        found = {"operator": self.random.choice(["Exists", "Equal"])}
        if found["operator"] == "Equal":
            found["value"] = self.random.choice(["", "yes"])
        if found["operator"] == "Equal" or self.maybe(0.7):
            found["key"] = self.random.choice(["gpu", "slow", "node.kubernetes.io/unschedulable"])
        if self.maybe(0.5):
            found["effect"] = self.random.choice(["NoSchedule", "PreferNoSchedule"])
        return found

    def need(self) -> Object:
        operator = self.random.choice(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])
        if operator in ("Gt", "Lt"):
            return {"key": "speed", "operator": operator, "values": ["4"]}
        values = {"values": ["1"]} if operator.endswith("In") else {}
        return {"key": "rack", "operator": operator, **values}

    def node_term(self) -> Object:
        if self.maybe(0.2):
            return {
                "matchFields": [{"key": "metadata.name", "operator": "In", "values": [f"n{self.random.randint(0, 5)}"]}]
            }
        return {"matchExpressions": [self.need() for _ in range(self.random.randint(1, 2))]}

    def pod_term(self) -> Object:
        found: Object = {"topologyKey": self.random.choice(KEYS)}
        selector = self.selector()
        if selector is not None:
            found["labelSelector"] = selector
        if self.maybe(0.2):
            found["namespaces"] = ["other"]
        if self.maybe(0.2):
            found["namespaceSelector"] = self.random.choice([{}, {"matchLabels": {"team": "other"}}])
        return found

    def affinity(self) -> Object:
        found: Object = {}
        if self.maybe(self.taste * 0.5):
            part = found["nodeAffinity"] = {}
            if self.maybe(0.5):
                part[REQUIRED] = {"nodeSelectorTerms": [self.node_term() for _ in range(self.random.randint(1, 2))]}
            if self.maybe(0.6):
                part[PREFERRED] = [{"weight": self.random.randint(1, 9), "preference": self.node_term()}]
        for name in ("podAffinity", "podAntiAffinity"):
            if self.maybe(self.taste * 0.4):
                part = found[name] = {}
                if self.maybe(0.5):
                    part[REQUIRED] = [self.pod_term() for _ in range(self.random.randint(1, 2))]
                if self.maybe(0.5):
                    part[PREFERRED] = [{"weight": self.random.randint(1, 50), "podAffinityTerm": self.pod_term()}]
        return found

    def spread(self) -> Object:
        found: Object = {
            "maxSkew": self.random.randint(1, 2),
            "topologyKey": self.random.choice(KEYS),
            "whenUnsatisfiable": self.random.choice(["DoNotSchedule", "ScheduleAnyway"]),
            "labelSelector": self.selector() or {},
        }
        if found["whenUnsatisfiable"] == "DoNotSchedule" and self.maybe():
            found["minDomains"] = self.random.randint(1, 4)
        if self.maybe():
            found["nodeAffinityPolicy"] = "Ignore"
        if self.maybe():
            found["nodeTaintsPolicy"] = "Honor"
        return found


@pytest.mark.parametrize("wide", [0, 1000], ids=["arrays", "lists"])
def test_decides_as_the_reference_does(wide: int) -> None:
    placed = refused = 0
    for seed in range(CASES):
        dice = Dice(seed)
        nodes = [dice.node(number) for number in range(dice.random.randint(1, 6))]
        pods: list[Object] = []
        made: list[Object] = []
        world = world_of(nodes, wide=wide)
        reference = Reference(nodes, pods, NAMESPACES)
        for number in range(PODS):
            if dice.maybe(0.15) and pods:  # somebody goes
                gone = pods.pop(dice.random.randrange(len(pods)))
                world.remove_pod(gone["metadata"]["uid"])
            if dice.maybe(0.1):  # a node is another than before
                place = dice.random.randrange(len(nodes))
                nodes[place] = dice.node(place)
                reference.nodes[f"n{place}"] = nodes[place]
                world.put_node(node_of(nodes[place]))
            new = dice.pod(number)
            if dice.maybe(0.4) and made:  # one more of a kind
                kind = copy.deepcopy(dice.random.choice(made))
                new = {**kind, "metadata": {**kind["metadata"], "name": f"p{number}", "uid": f"u{number}"}}
            made.append(copy.deepcopy(new))
            decision = decide(world, pod_of(new), Profile())
            expected = reference.choice(new)
            where = f"seed {seed}, pod {number}"
            assert decision.node == expected, (where, decision, reference.scores(new))
            if expected:
                placed += 1
                if len(reference.feasible(new)) > 1:
                    assert decision.score == reference.scores(new)[expected], where
                new["spec"]["nodeName"] = expected
                pods.append(new)
                world.put_pod(pod_of(new))
            else:
                refused += 1
                told = {name: verdict.plugin for name, verdict in decision.verdicts.items()}
                assert told == {name: reference.broken(new, name) for name in reference.nodes}, where
    assert placed > CASES and refused > CASES
