"""The enforcer of network policies: no step takes long, a pod begins only when it is judged, and walls stand as long as
the machine runs the pod."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest
from proxy_kit import Objects, Policies, RememberingNetwork

from boxship.cluster.proxy import policies
from boxship.cluster.proxy.judging import Judge
from boxship.cluster.proxy.policies import PODS, PolicyEnforcer
from boxship.cluster.proxy.walls import PodFacts
from boxship.errors import Internal, Unavailable

POLICIES, NAMESPACES = "networking.k8s.io/v1/networkpolicies", "v1/namespaces"


def selector(labels: dict[str, str]) -> Any:
    return {"matchLabels": labels}


class Machine:
    """Implements Machine by what it is told."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}  # by uid
        self.facts: dict[tuple[str, str], PodFacts] = {}  # what it knows of itself
        self.running: set[str] = set()  # uids of those whose processes go on without an address
        self.ended: asyncio.Queue[None] = asyncio.Queue()

    def address_of(self, uid: str) -> str:
        return self.addresses.get(uid, "")

    def runs(self, uid: str) -> bool:
        return uid in self.running

    def pods(self) -> Iterable[tuple[tuple[str, str], PodFacts]]:
        return self.facts.items()

    async def ends(self) -> AsyncIterator[None]:
        while True:
            await self.ended.get()
            yield

    def run(self, name: str, address: str, **labels: str) -> None:
        """A pod that nobody has to tell of."""
        self.addresses[name] = address
        self.facts["default", name] = PodFacts(name, address, "", labels, {})


class Cluster:
    """Objects, an enforcer that follows them, and what it made of them."""

    def __init__(self) -> None:
        self.objects, self.network = Objects(), RememberingNetwork()
        self.machine = Machine()
        self.objects.put(NAMESPACES, "default", "")
        self.begin()

    @property
    def table(self) -> Policies:
        return self.network.policies

    def begin(self) -> None:
        made = PolicyEnforcer(self.objects, self.network, "here", self.machine)  # type: ignore[arg-type]
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
    cluster.machine.addresses[pod["metadata"]["uid"]] = address
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
    del cluster.machine.addresses["web"]
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
    del cluster.machine.addresses["cli"]  # the API still says that it runs
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
    await cluster.until(lambda: cluster.table.walled("incoming") == ["10.244.0.2"])


async def test_a_first_policy_stops_no_start(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods begin behind walls before the pods of other nodes were read, and groups are filled after."""
    table, objects, read = cluster.table, cluster.objects, asyncio.Event()
    whole = Objects.list

    async def slowly(self: Objects, kind: str, *more: Any, **rest: Any) -> Any:
        if kind == PODS:
            await read.wait()
        return await whole(self, kind, *more, **rest)

    monkeypatch.setattr(Objects, "list", slowly)
    await cluster.until(lambda: table.changes)
    objects.put(PODS, "cli", metadata={"labels": {"role": "cli"}, "uid": "cli"}, status={"podIP": "10.244.1.2"})
    cluster.machine.run("old", "10.244.0.8", app="web")  # began when there was no policy
    cluster.policy("web", selector({"app": "web"}), ingress=[{"from": [{"podSelector": selector({"role": "cli"})}]}])
    await cluster.until(lambda: not cluster.enforcer.is_open)
    await begins(cluster, cluster.pod("web", app="web"), "10.244.0.2")
    assert table.walled("incoming") == ["10.244.0.2", "10.244.0.8"] and table.groups == [frozenset()]
    await begins(cluster, cluster.pod("mine", role="cli"), "10.244.0.3")
    assert table.groups == [{"10.244.0.3"}] and not read.is_set()
    read.set()
    await cluster.until(lambda: table.groups == [{"10.244.0.3", "10.244.1.2"}])


async def test_groups_that_stand_are_not_emptied(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.pod("cli", "10.244.1.2", "there", role="cli")
    cluster.pod("web", "10.244.0.2", app="web")
    cluster.policy("web", selector({"app": "web"}), ingress=[{"from": [{"podSelector": selector({"role": "cli"})}]}])
    await cluster.until(lambda: cluster.table.groups == [{"10.244.1.2"}])
    await cluster.end()
    told = len(cluster.table.changes)
    cluster.begin()
    await begins(cluster, cluster.pod("next", app="web"), "10.244.0.3")
    first, *_ = cluster.table.changes[told:]
    assert [set(flips or ()) for flips in first.groups.values()] == [{"10.244.1.2"}]


async def test_the_next_life_keeps_walls_of_pods_that_the_api_has_not(cluster: Cluster) -> None:
    """Deleted by force while they end, or static ones whose mirror is not there."""
    table, machine = cluster.table, cluster.machine
    machine.run("web", "10.244.0.2", app="web")
    machine.run("free", "10.244.0.3")
    cluster.policy("deny", selector({"app": "web"}))
    cluster.pod("other", "10.244.0.9", app="web")
    await cluster.until(lambda: table.walled("incoming") == ["10.244.0.2", "10.244.0.9"])
    machine.running.add("web")
    machine.addresses.clear()  # it is stopped, but its last process goes on
    machine.ended.put_nowait(None)
    cluster.objects.remove(PODS, "other")
    await cluster.until(lambda: table.walled("incoming") == ["10.244.0.2"])
    machine.running.clear()
    machine.ended.put_nowait(None)  # and nothing else is told
    await cluster.until(lambda: table.walled("incoming") == [])


async def test_a_static_pod_has_the_ports_of_its_mirror(cluster: Cluster) -> None:
    cluster.machine.run("web", "10.244.0.2", app="web")
    ports = [{"name": "http", "containerPort": 8080}]
    rules = [{"ports": [{"port": "http"}]}]
    cluster.policy("web", selector({"app": "web"}), ingress=rules)
    mirror = {"metadata": {"labels": {"app": "web"}, "uid": "mirror"}, "status": {"podIP": "10.244.0.2"}}
    cluster.objects.put(PODS, "web", **mirror, spec={"nodeName": "here", "containers": [{"ports": ports}]})
    await cluster.until(lambda: {"10.244.0.2 . tcp . 8080"} in cluster.table.groups)
    cluster.objects.remove(PODS, "web")  # whoever takes it away
    await begins(cluster, cluster.pod("other", app="web"), "10.244.0.3")
    assert cluster.table.walled("incoming") == ["10.244.0.2", "10.244.0.3"]


async def test_a_static_pod_begins_without_the_api(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "STATIC_SECONDS", 0.01)
    pod = cluster.pod("static", app="web")
    cluster.policy("deny", selector({"app": "web"}))
    away = PolicyEnforcer(cluster.objects, cluster.network, "here")  # type: ignore[arg-type]
    await away.admit(pod, "10.244.0.2", static=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await away.admit(pod, "10.244.0.2")
    cluster.machine.addresses["static"] = "10.244.0.2"
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
