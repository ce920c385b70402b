"""Policies kept after quick changes: what stands is what a fresh start would make of it, no step takes long, and a pod
begins only when it is judged."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from proxy_kit import Objects, Policies, RememberingNetwork

from boxship.cluster.proxy import policies
from boxship.cluster.proxy.groups import Members
from boxship.cluster.proxy.judging import Judge
from boxship.cluster.proxy.policies import PODS, PolicyEnforcer
from boxship.cluster.proxy.walls import PodFacts, PolicyFacts, policy_facts
from boxship.errors import Internal, Unavailable

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


class Cluster:
    """Objects, an enforcer that follows them, and what it made of them."""

    def __init__(self) -> None:
        self.objects, self.network = Objects(), RememberingNetwork()
        self.machine: dict[str, str] = {}  # uid → address
        self.objects.put(NAMESPACES, "default", "")
        self.begin()

    @property
    def table(self) -> Policies:
        return self.network.policies

    def begin(self) -> None:
        made = PolicyEnforcer(self.objects, self.network, "here", lambda uid: self.machine.get(uid, ""))  # type: ignore[arg-type]
        self.enforcer = made
        self.task = asyncio.create_task(made.run())

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def pod(self, name: str, address: str = "", node: str = "here", phase: str = "Running", **labels: str) -> Any:
        """Its uid is its name."""
        status = {"phase": phase, **({"podIP": address} if address else {})}
        self.objects.put(PODS, name, metadata={"labels": labels, "uid": name}, spec={"nodeName": node}, status=status)
        return self.objects.kinds[PODS]["default", name]

    def policy(self, name: str, pods: Any, **more: Any) -> None:
        self.objects.put(POLICIES, name, spec={"podSelector": pods, **more})

    async def until(self, check: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not check():
                assert not self.task.done()
                await asyncio.sleep(0.001)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster()
    yield made
    await made.end()


async def test_the_enforcer_follows_pods_and_policies(cluster: Cluster) -> None:
    cluster.pod("web", "10.244.0.2", app="web")
    cluster.pod("cli", "10.244.1.2", "there", role="cli")
    await cluster.until(lambda: cluster.table.changes)
    assert PODS not in cluster.objects.watchers  # without a policy nobody's pods are followed
    cluster.policy("web", selector({"app": "web"}), ingress=[{"from": [{"podSelector": selector({"role": "cli"})}]}])
    table = cluster.table
    await cluster.until(lambda: table.walled("incoming") == ["10.244.0.2"] and {"10.244.1.2"} in table.groups)
    cluster.pod("more", "10.244.1.3", "there", role="cli")
    await cluster.until(lambda: {"10.244.1.2", "10.244.1.3"} in table.groups)
    cluster.pod("web", "10.244.0.2", app="other")
    await cluster.until(lambda: table.standing.is_empty)
    cluster.pod("web", "10.244.0.2", app="web")
    await cluster.until(lambda: not table.standing.is_empty)
    cluster.objects.remove(PODS, "cli")
    await cluster.until(lambda: {"10.244.1.3"} in table.groups)
    table.failures = [Internal("the kernel says no")]
    cluster.objects.remove(POLICIES, "web")
    await cluster.until(lambda: table.standing.is_empty and not table.groups and not table.failures)


def begins(cluster: Cluster, pod: Any, address: str) -> "asyncio.Task[None]":
    """What the agent does: the machine has the pod, and then it asks."""
    cluster.machine[pod["metadata"]["uid"]] = address
    return asyncio.create_task(cluster.enforcer.admit(pod, address))


async def test_a_pod_begins_behind_its_walls(cluster: Cluster) -> None:
    table = cluster.table
    free = cluster.pod("free")
    await begins(cluster, free, "10.244.0.9")  # there is no policy
    cluster.policy("deny", selector({"app": "web"}), policyTypes=["Ingress", "Egress"])
    friends = [{"from": [{"podSelector": selector({"role": "cli"})}]}]
    cluster.policy("friends", selector({"app": "db"}), ingress=friends)
    await cluster.until(lambda: not cluster.enforcer.is_open)
    await begins(cluster, cluster.pod("web", app="web"), "10.244.0.2")  # before the API has its address
    assert table.walled("incoming") == table.walled("outgoing") == ["10.244.0.2"]
    await begins(cluster, cluster.pod("db", app="db"), "10.244.0.3")
    await begins(cluster, cluster.pod("cli", role="cli"), "10.244.0.4")
    assert {"10.244.0.4"} in table.groups and "10.244.0.3" in table.walled("incoming")
    changes = len(table.changes)
    await begins(cluster, cluster.pod("web", app="web"), "10.244.0.2")  # another of its containers
    await begins(cluster, cluster.pod("free"), "10.244.0.9")
    assert len(table.changes) == changes  # nothing in the kernel for whom no policy is about


async def test_walls_stand_as_long_as_the_pod_runs(cluster: Cluster) -> None:
    table = cluster.table
    cluster.policy("deny", selector({"app": "web"}))
    web = cluster.pod("web", app="web")
    await begins(cluster, web, "10.244.0.2")
    cluster.pod("web", "10.244.0.2", phase="Failed", app="web")  # somebody says so; the machine knows better
    cluster.pod("other", "10.244.0.5", app="web")
    await cluster.until(lambda: table.walled("incoming") == ["10.244.0.2", "10.244.0.5"])
    cluster.objects.remove(PODS, "web")  # by force
    cluster.objects.remove(PODS, "other")
    await cluster.until(lambda: table.walled("incoming") == ["10.244.0.2"])
    del cluster.machine["web"]
    await begins(cluster, cluster.pod("next"), "10.244.0.2")  # has the address from now on, and no policy
    assert table.walled("incoming") == []


async def test_an_address_that_another_pod_has_now(cluster: Cluster) -> None:
    table = cluster.table
    cluster.policy("deny", selector({"app": "web"}))
    friends = [{"from": [{"podSelector": selector({"role": "cli"})}]}]
    cluster.policy("friends", selector({"app": "db"}), ingress=friends)
    await begins(cluster, cluster.pod("db", app="db"), "10.244.0.3")
    await begins(cluster, cluster.pod("cli", role="cli"), "10.244.0.4")
    assert {"10.244.0.4"} in table.groups
    del cluster.machine["cli"]  # the API still says that it runs
    await begins(cluster, cluster.pod("web", app="web"), "10.244.0.4")
    assert frozenset() in table.groups and "10.244.0.4" in table.walled("incoming")
    cluster.pod("cli", "10.244.0.4", role="cli")  # a late word of the old one
    cluster.pod("more", "10.244.1.4", "there", role="cli")
    await cluster.until(lambda: {"10.244.1.4"} in table.groups)


async def test_the_next_life_knows_what_runs(cluster: Cluster) -> None:
    cluster.policy("deny", selector({"app": "web"}))
    web = cluster.pod("web", app="web")
    await begins(cluster, web, "10.244.0.2")
    await cluster.end()
    cluster.network.policies = Policies()
    cluster.begin()  # the API has not heard of the address
    await cluster.until(lambda: cluster.table.changes)
    assert cluster.table.walled("incoming") == ["10.244.0.2"]


async def test_a_static_pod_begins_without_the_api(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "STATIC_SECONDS", 0.01)
    pod = cluster.pod("static", app="web")
    cluster.policy("deny", selector({"app": "web"}))
    away = PolicyEnforcer(cluster.objects, cluster.network, "here")  # type: ignore[arg-type]
    await away.admit(pod, "10.244.0.2", static=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await away.admit(pod, "10.244.0.2")
    cluster.machine["static"] = "10.244.0.2"
    await cluster.enforcer.admit(pod, "10.244.0.2", static=True)
    assert cluster.table.walled("incoming") == ["10.244.0.2"]


async def test_who_waits_when_nobody_judges_any_more_is_told(cluster: Cluster) -> None:
    cluster.policy("deny", selector({"app": "web"}))
    cluster.table.failures = [Internal("no")] * 1000
    waiting = begins(cluster, cluster.pod("web", app="web"), "10.244.0.2")
    await cluster.until(lambda: cluster.table.changes)
    assert not waiting.done()
    await cluster.end()
    with pytest.raises(Unavailable):
        await waiting


async def test_no_step_holds_the_loop(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ten thousand pods and some hundred policies about all of them: counted, not timed."""
    monkeypatch.setattr(policies, "SLICE", 50)
    work, most = 0, 0
    steps = Judge.steps

    def counted(self: Judge) -> Any:
        nonlocal work
        for _ in steps(self):
            work += 1
            yield

    async def look() -> None:
        """Is given its turn once in each round of the loop."""
        nonlocal most
        while True:
            before = work
            await asyncio.sleep(0)
            most = max(most, work - before)

    monkeypatch.setattr(Judge, "steps", counted)
    cluster.policy("deny", {})
    for number in range(10_000):
        cluster.pod(f"p{number}", f"10.244.{number // 250}.{number % 250}", "there" if number % 100 else "here")
    looking = asyncio.create_task(look())
    await cluster.until(lambda: len(cluster.table.walled("incoming")) == 100)
    everybody = [{"from": [{"namespaceSelector": {}, "podSelector": {}}]}]
    cluster.policy("all", {}, ingress=everybody)
    await cluster.until(lambda: any(len(found) == 10_000 for found in cluster.table.groups))
    looking.cancel()
    assert work > 10_000 and most <= 100
    changes = len(cluster.table.changes)
    cluster.pod("p1", "10.244.0.1", "there", some="label")
    cluster.pod("p10000", "10.244.99.1", "there")
    await cluster.until(lambda: any(len(found) == 10_001 for found in cluster.table.groups))
    assert sum(len(flips or ()) for change in cluster.table.changes[changes:] for flips in change.groups.values()) == 1


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
