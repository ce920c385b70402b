"""Policies kept after quick changes: what stands is what a fresh start would make of it."""

import random
from collections.abc import Iterator
from typing import Any

from proxy_kit import Policies

from boxship.cluster.proxy.groups import Members
from boxship.cluster.proxy.judging import Judge
from boxship.cluster.proxy.walls import PodFacts, PolicyFacts, policy_facts

POLICIES, NAMESPACES = "networking.k8s.io/v1/networkpolicies", "v1/namespaces"
Key = tuple[str, str]


def selector(labels: dict[str, str]) -> Any:
    return {"matchLabels": labels}


def make_policy(key: Key, pods: Any, types: list[str], rules: Any) -> PolicyFacts:
    spec = {
        "podSelector": pods,
        "policyTypes": types,
        "ingress": [{"from": peers, "ports": ports} for peers, ports in rules],
        "egress": [{"to": peers, "ports": ports} for peers, ports in rules],
    }
    return policy_facts({"metadata": {"namespace": key[0], "name": key[1]}, "spec": spec})


def labels(dice: random.Random) -> dict[str, str]:
    return {key: dice.choice("12") for key in "xy" if dice.random() < 0.5}


def peer(dice: random.Random) -> Any:
    pods = selector(labels(dice) if dice.random() < 0.5 else {})
    spaces = selector(labels(dice))
    block = {"ipBlock": {"cidr": "192.0.2.0/24"}}
    return dice.choice([{"podSelector": pods}, {"namespaceSelector": spaces, "podSelector": pods}, block])


def rule(dice: random.Random) -> Any:
    ports = [{"port": 80}, {"port": "web"}, {"port": "dns", "protocol": "UDP"}]
    return [peer(dice) for _ in range(2)], dice.sample(ports, dice.randint(0, 2))


def change(dice: random.Random) -> tuple[str, Any, Any]:
    """What becomes of the world, or (with a number) what is done meanwhile."""
    kind = dice.choice(["pod", "pod", "space", "policy", "work", "publish"])
    space, gone = dice.choice(["one", "two"]), dice.random() < 0.3
    if kind == "pod":
        named = dice.choice([{}, {("web", "tcp"): 80}, {("web", "tcp"): 81, ("dns", "udp"): 53}])
        address = dice.choice(["", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"])
        pod = address, dice.choice(["here", "there"]), labels(dice), named
        return kind, (space, dice.choice("abc")), None if gone else pod
    if kind == "space":
        return kind, space, None if gone else labels(dice)
    if kind == "policy":
        types = dice.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
        chosen = selector(labels(dice) if dice.random() < 0.5 else {})
        policy = chosen, types, [rule(dice) for _ in range(dice.randint(0, 2))]
        return kind, (space, dice.choice("pq")), None if gone else policy
    return kind, dice.randint(0, 9), None


def told(judge: Judge, kind: str, key: Any, value: Any) -> None:
    if kind == "pod":
        facts = PodFacts("".join(key), value[0], value[1], value[2], value[3]) if value else None
        judge.put_pod("".join(key), key[0], facts, here=bool(value) and value[1] == "here")
    elif kind == "space":
        judge.put_namespace(key, value)
    else:
        judge.put_policy(key, make_policy(key, *value) if value else None)


async def publish(judge: Judge, table: Policies, running: Iterator[None]) -> None:
    for _ in (*running, *judge.steps()):
        pass
    await table.change(judge.take())


async def play(dice: random.Random) -> None:
    judge, table = Judge(), Policies()
    world: dict[Any, Any] = {}
    await table.replace(judge.take())
    running = judge.steps()
    for _ in range(40):
        kind, key, value = change(dice)
        if kind == "work":
            for _ in range(key):  # the others have their turn in between
                if next(running, "ended"):
                    running = judge.steps()
        elif kind == "publish":
            await publish(judge, table, running)
        else:
            told(judge, kind, key, value)
            world[kind, key] = value
    await publish(judge, table, running)
    fresh, wanted = Judge(), Policies()
    for (kind, key), value in world.items():
        if value is not None:
            told(fresh, kind, key, value)
    for _ in fresh.steps():
        pass
    await wanted.replace(fresh.take())
    assert table.standing.maps == wanted.standing.maps
    assert table.standing.chains == wanted.standing.chains
    assert table.standing.sets == wanted.standing.sets
    assert table.rules.sets == wanted.rules.sets and table.rules.chains == wanted.rules.chains
    await publish(judge, table, judge.steps())
    assert table.changes[-1].is_empty


async def test_any_changes_lead_where_a_fresh_start_leads() -> None:
    for seed in range(300):
        try:
            await play(random.Random(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_a_group_that_is_wanted_again_forgets_who_went_meanwhile() -> None:
    members = Members()
    spec = {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": "web"}]}]}
    made = policy_facts({"metadata": {"namespace": "one", "name": "p"}, "spec": spec})
    members.want(made.groups, made.named)
    for name in ("a", "b"):
        members.put_pod(name, "one", PodFacts(name, f"10.0.0.{ord(name)}", "here", {}, {("web", "tcp"): 80}))
    assert len(list(members.steps())) == 4
    assert members.take_groups() == {made.groups[0].name: {"10.0.0.97": True, "10.0.0.98": True}}
    assert members.take_sockets() == {"web/tcp": {"10.0.0.97 . tcp . 80": True, "10.0.0.98 . tcp . 80": True}}
    members.release(made.groups, made.named)
    members.put_pod("a", "one", None)
    list(members.steps())
    members.want(made.groups, made.named)
    list(members.steps())
    assert members.take_groups() == {made.groups[0].name: {"10.0.0.97": False}}
    assert members.take_sockets() == {"web/tcp": {"10.0.0.97 . tcp . 80": False}}
    members.release(made.groups, made.named)
    assert members.take_groups() == {made.groups[0].name: None} and members.take_sockets() == {"web/tcp": None}
