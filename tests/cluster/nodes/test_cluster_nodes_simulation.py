"""The controllers of nodes in virtual time, on an API that refuses and is silent about what it did, killed at any time:
blocks are never shared, silent nodes are found and emptied, living ones never, and nobody where all are silent. A seed
that fails replays exactly."""

import asyncio
import contextlib
import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
from workloads_simulation import Api, run

from boxship.cluster.controllers.nodes.starting import NodeOptions, make_nodes
from boxship.cluster.controllers.workloads.pods import facts_of
from boxship.cluster.controllers.workloads.times import stamp
from boxship.cluster.node.simulated.loop import VirtualLoop
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.recording import Recorder
from boxship.cluster.reconcile.runner import Runner

SEEDS = range(6)
NODES, PODS, LEASES = "v1/nodes", "v1/pods", "coordination.k8s.io/v1/leases"
UNREACHABLE, NOT_READY = "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"
TOLERATED = 60  # seconds


class World:
    def __init__(self, seed: int, trouble: float = 0.05) -> None:
        self.chance = random.Random(seed)
        random.seed(seed)
        self.api = Api(self.chance, trouble)
        self.silent: set[str] = set()
        self.beats = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def insist(self, act: Callable[[], Any]) -> None:
        """As an agent, who tries until it is done."""
        while True:
            try:
                await act()
                return
            except Failure as failure:
                if failure.reason in ("AlreadyExists", "NotFound"):
                    return
                await asyncio.sleep(0.2)

    async def add(self, name: str, zone: str = "a") -> None:
        labels = {"topology.kubernetes.io/zone": zone}
        taint = {"key": NOT_READY, "effect": "NoSchedule"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        await self.insist(lambda: self.api.create(NODES, "", {**node, "spec": {"taints": [taint]}, "status": {}}))
        lease = {"metadata": {"name": name}, "spec": {"renewTime": "0"}}
        await self.insist(lambda: self.api.create(LEASES, "kube-node-lease", lease))
        self._tasks[name] = asyncio.create_task(self._live(name))

    async def _live(self, name: str) -> None:
        """An agent: it renews its lease, and says that it is ready where the API has it otherwise."""
        while True:
            if name not in self.silent:
                with contextlib.suppress(Failure):
                    self.beats += 1
                    patch = {"spec": {"renewTime": str(self.beats)}}
                    await self.api.patch(LEASES, "kube-node-lease", name, patch)
                    node = await self.api.get(NODES, "", name)
                    if self.ready(node) != "True":
                        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": stamp(self.api.now())}
                        node["status"] = {"conditions": [ready]}
                        await self.api.update(NODES, node, subresource="status")
            await asyncio.sleep(5 + self.chance.random())

    async def place(self, name: str, node: str, seconds: int | None = TOLERATED) -> None:
        tolerations = [
            {
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                **({} if seconds is None else {"tolerationSeconds": seconds}),
            }
            for key in (NOT_READY, UNREACHABLE)
        ]
        pod = {"metadata": {"name": name}, "spec": {"nodeName": node, "tolerations": tolerations}}
        await self.insist(lambda: self.api.create(PODS, "default", pod))
        known = copy.deepcopy(self.api.objects[PODS]["default", name])
        known["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self.api.change(PODS, known)

    def node(self, name: str) -> Object:
        return self.api.objects[NODES]["", name]

    def pod(self, name: str) -> Object | None:
        return self.api.objects.get(PODS, {}).get(("default", name))

    @staticmethod
    def ready(node: Object) -> str:
        conditions = (node.get("status") or {}).get("conditions") or ()
        return next((str(one["status"]) for one in conditions if one["type"] == "Ready"), "")

    def taints(self, name: str) -> set[str]:
        return {f"{taint['key']}:{taint['effect']}" for taint in self.node(name)["spec"].get("taints") or ()}

    def is_going(self, name: str) -> bool:
        pod = self.pod(name)
        return pod is None or bool(pod["metadata"].get("deletionTimestamp"))

    async def settle(self, condition: Callable[[], bool], *, seconds: float, deaths: int = 0) -> float:
        """Run the controllers until it holds; how long that took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        task = asyncio.create_task(self._controllers())
        try:
            while not condition():
                assert not self.api.wrong, self.api.wrong
                assert loop.time() < began + seconds, "it does not settle"
                await asyncio.sleep(0.25)
                if task.done():
                    task.result()
                if deaths and self.chance.random() < 0.03:
                    deaths -= 1
                    await end(task)
                    task = asyncio.create_task(self._controllers())
            return loop.time() - began
        finally:
            await end(task)

    async def _controllers(self) -> None:
        pods, recorder = Cache(self.api, PODS, keep=facts_of), Recorder(self.api.now)
        options = NodeOptions("10.244.0.0/20", 24, finished=0)
        made = make_nodes(lambda name: self.api, self.api, pods, recorder, options, self.api.now)
        await Runner(made.controllers, [*made.parts, recorder.run]).run()

    async def close(self) -> None:
        for task in self._tasks.values():
            await end(task)


async def end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def blocks(world: World) -> list[str]:
    return [node["spec"]["podCIDR"] for node in world.api.all(NODES) if node["spec"].get("podCIDR")]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_nodes_have_the_same_addresses(seed: int) -> None:
    async def scenario() -> None:
        world = World(seed, trouble=0.2)
        world.api.checks.append(lambda: distinct(world))
        for number in range(10):
            await world.add(f"n{number}")
        await world.settle(lambda: len(blocks(world)) == 10, seconds=120, deaths=3)
        assert sorted(int(text.split(".")[2]) for text in blocks(world)) == list(range(10))
        for number in (2, 5):
            gone = world.node(f"n{number}")
            world.api.end(NODES, gone)
            world.api.end(LEASES, world.api.objects[LEASES]["kube-node-lease", f"n{number}"])
            await world.add(f"m{number}")
        await world.settle(lambda: len(blocks(world)) == 10, seconds=120, deaths=3)
        assert len(set(blocks(world))) == 10
        for number in range(8):  # there is room for sixteen
            await world.add(f"more{number}")
        await world.settle(lambda: len(blocks(world)) == 16, seconds=120, deaths=2)
        await world.close()

    def distinct(world: World) -> None:
        assert len(set(blocks(world))) == len(blocks(world)), "two nodes with one block"

    run(scenario)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_silent_node_is_emptied_and_comes_back(seed: int) -> None:
    async def scenario() -> None:
        world = World(seed)
        for number in range(4):
            await world.add(f"n{number}", zone="ab"[number % 2])
            await world.place(f"p{number}", f"n{number}")
            await world.place(f"stays{number}", f"n{number}", None)
        world.api.checks.append(lambda: living(world))
        await world.settle(lambda: not any(world.taints(f"n{n}") for n in range(4)), seconds=60, deaths=2)
        world.silent = {"n1"}
        took = await world.settle(lambda: world.ready(world.node("n1")) == "Unknown", seconds=90)
        assert took > 30
        tainted = {f"{UNREACHABLE}:NoSchedule", f"{UNREACHABLE}:NoExecute"}
        await world.settle(lambda: world.taints("n1") == tainted, seconds=150, deaths=1)
        took = await world.settle(lambda: world.is_going("p1"), seconds=120)
        assert took > TOLERATED / 2
        assert not world.is_going("stays1")
        ready = world.pod("stays1")
        assert ready is not None and ready["status"]["conditions"][0]["status"] == "False"
        gone = world.pod("p1")
        assert gone is None or any(one["type"] == "DisruptionTarget" for one in gone["status"]["conditions"])
        world.silent = set()
        await world.settle(lambda: not world.taints("n1"), seconds=60, deaths=1)
        # Where a node is deleted, nobody else can say that its pods ended.
        world.api.end(NODES, world.node("n1"))
        await world.settle(lambda: world.pod("stays1") is None, seconds=200, deaths=1)
        await world.close()

    def living(world: World) -> None:
        for number in (0, 2, 3):
            assert not world.is_going(f"p{number}"), f"the pod of the living n{number} goes"

    run(scenario)


@pytest.mark.parametrize("seed", SEEDS)
def test_where_all_are_silent_nobody_is_emptied(seed: int) -> None:
    async def scenario() -> None:
        world = World(seed)
        for number in range(3):
            await world.add(f"n{number}")
            await world.place(f"p{number}", f"n{number}", 0)
        await world.settle(lambda: not any(world.taints(f"n{n}") for n in range(3)), seconds=60)
        world.silent = {"n0", "n1", "n2"}
        world.api.checks.append(lambda: all_there(world))
        unknown = {f"{UNREACHABLE}:NoSchedule"}
        await world.settle(lambda: all(world.taints(f"n{n}") == unknown for n in range(3)), seconds=120, deaths=1)
        loop = asyncio.get_running_loop()
        later = loop.time() + 300
        await world.settle(lambda: loop.time() > later, seconds=400, deaths=1)
        world.silent = set()
        await world.settle(lambda: not any(world.taints(f"n{n}") for n in range(3)), seconds=60)
        await world.close()

    def all_there(world: World) -> None:
        # One after the other falls silent: the first may be emptied before the last is missed.
        going = [number for number in range(3) if world.is_going(f"p{number}")]
        assert len(going) <= 1, going

    run(scenario)


def test_a_sleep_of_our_own_makes_nobody_silent() -> None:
    async def scenario() -> None:
        world = World(1, trouble=0.0)
        for number in range(3):
            await world.add(f"n{number}")
        await world.settle(lambda: not any(world.taints(f"n{n}") for n in range(3)), seconds=60)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        task = asyncio.create_task(world._controllers())
        await asyncio.sleep(12)
        loop.sleep(100)
        for _ in range(200):
            await asyncio.sleep(0.1)
            assert all(world.ready(world.node(f"n{n}")) == "True" for n in range(3))
        await end(task)
        await world.close()

    run(scenario)
