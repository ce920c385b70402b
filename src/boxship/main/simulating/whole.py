"""A whole cluster from one seed: the real API, controllers and scheduler, and real agents on three nodes that do not
exist, while users change their minds, containers die, requests fail, and everything is killed again and again.

What must never be: two pods of one name of a StatefulSet at work, more pods of a Deployment than it may have. What must
be at the end, once nothing fails any more: everything as it was asked for, and nothing else on any node.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.cluster.controllers.workloads.starting import make_workloads
from boxship.cluster.node.agent import NodeAgent
from boxship.cluster.node.runtime import RUNNING
from boxship.cluster.node.simulated.loop import run
from boxship.cluster.node.simulated.planning import SimulatedPlanner, SimulatedVolumes
from boxship.cluster.node.simulated.runtime import SimulatedRuntime
from boxship.cluster.node.status.facts import INTERNAL, MachineFacts, NodeFacts
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.schema.builtin import Schemas, load
from boxship.cluster.reconcile.runner import Runner
from boxship.cluster.scheduler.running import Scheduler
from boxship.errors import BoxshipError, Unavailable
from boxship.main.simulating.workloads import KINDS, changed, first, is_settled, too_many
from boxship.main.simulating.world import World, seeded

NODES = 3
ACTS = 25
LOOK_SECONDS = 0.2
CALM_SECONDS = 900.0  # until all is as it should be, once nothing fails: back-offs are long
PODS = "v1/pods"


class Outcome(msgspec.Struct, frozen=True):
    """`seconds` of virtual time; `wrong`: what must not have happened; `counts`: how much did."""

    seed: int
    seconds: float
    wrong: tuple[str, ...]
    counts: Mapping[str, int]


def simulate_whole(seed: int, *, trouble: float = 0.03, deaths: int = 4, schemas: Schemas | None = None) -> Outcome:
    """One life of a cluster. Takes some seconds."""
    with seeded(seed) as chance:
        known = schemas or load(None)
        return run(lambda: _Scenario(seed, chance, known, trouble, deaths).play())


class _Process:
    """Something that may be killed at any moment and is started again. What ends by itself is wrong."""

    def __init__(self, name: str, wrong: list[str]) -> None:
        self.name = name
        self._wrong = wrong
        self._task: asyncio.Task[None] | None = None

    def start(self, work: Any) -> None:
        self._task = asyncio.ensure_future(work)

    async def kill(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        if task.done() and not task.cancelled():
            self._wrong.append(f"{self.name} ended: {task.exception()!r}")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Node:
    """A machine with its agent; the machine stays when the agent is killed."""

    def __init__(self, number: int, world: World, wrong: list[str]) -> None:
        self.name = f"n{number}"
        self.runtime = SimulatedRuntime(world.clock.seconds, pause=self._pause, network=f"10.244.{number}")
        self.process = _Process(f"agent {self.name}", wrong)
        self._world = world
        self._volumes = SimulatedVolumes()

    def _pause(self) -> float:
        if self._world.chance.random() < self._world.trouble / 2:
            raise Unavailable("the simulated machine fails")
        return self._world.chance.random() * 0.03

    def start(self) -> None:
        addresses = ((INTERNAL, f"192.0.2.{self.name[1:]}"),)
        facts = NodeFacts(name=self.name, addresses=addresses, machine=MachineFacts(cpus=100, memory=1 << 40))
        agent = NodeAgent(
            self._world.unsure,
            self.runtime,
            SimulatedPlanner(),
            self._volumes,
            facts,
            clock=self._world.clock.seconds,
        )
        self.process.start(agent.run())

    def at_work(self) -> list[tuple[str, str]]:
        """Name and uid of each pod that has a running container."""
        uids = {one.uid for one in self.runtime.table.values() if one.phase == RUNNING}
        return [(self.runtime.pods[uid].spec.name, uid) for uid in sorted(uids) if uid in self.runtime.pods]


class _Scenario:
    def __init__(self, seed: int, chance: random.Random, schemas: Schemas, trouble: float, deaths: int) -> None:
        self._seed = seed
        self._chance = chance
        self._deaths = deaths
        self._wrong: list[str] = []
        self._world = World(schemas, chance, trouble)
        self._control = _Process("the control plane", self._wrong)
        self._nodes = [_Node(number, self._world, self._wrong) for number in range(1, NODES + 1)]
        self._counts = {"killed": 0, "acts": 0}

    async def play(self) -> Outcome:
        world = self._world
        noticing = _Noticing(self._wrong)
        logger = logging.getLogger("boxship.cluster")
        logger.addHandler(noticing)
        serving = asyncio.ensure_future(world.run())
        looking = asyncio.ensure_future(self._look())
        try:
            await self._begin()
            for _ in range(ACTS):
                await asyncio.sleep(self._chance.random() * 4)
                await self._act()
            await self._settle()
        finally:
            logger.removeHandler(noticing)
            for process in (self._control, *(node.process for node in self._nodes)):
                await process.kill()
            for task in (looking, serving):
                task.cancel()
            await asyncio.gather(looking, serving, return_exceptions=True)
        for node in self._nodes:
            for _, what, _, _ in node.runtime.history:
                self._counts[what] = self._counts.get(what, 0) + 1
        wrong = tuple(dict.fromkeys(self._wrong))
        return Outcome(self._seed, asyncio.get_running_loop().time(), wrong, self._counts)

    async def _begin(self) -> None:
        await self._world.sure.create("v1/namespaces", "", {"metadata": {"name": "default"}})
        self._start_control()
        for node in self._nodes:
            node.start()

    def _start_control(self) -> None:
        unsure, clock = self._world.unsure, self._world.clock

        async def work() -> None:
            made = make_workloads(lambda _: unsure, unsure, clock.seconds)
            scheduler = Scheduler(unsure, instance="simulated", now=clock.now)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(Runner(made.controllers, made.parts).run())
                tasks.create_task(scheduler.run())

        self._control.start(work())

    async def _act(self) -> None:
        """One thing that a user, the machine or fate does."""
        self._counts["acts"] += 1
        chance = self._chance.random()
        if chance < 0.55:
            await self._write()
        elif chance < 0.7:
            pods = await self._world.all(PODS)
            if pods:
                await self._delete(self._chance.choice(pods)["metadata"]["name"])
        elif chance < 0.85:
            node = self._chance.choice(self._nodes)
            alive = [one.id for one in node.runtime.table.values() if one.phase == RUNNING]
            if alive:
                node.runtime.end(self._chance.choice(alive), 137, 9)
        elif self._deaths:
            self._deaths -= 1
            await self._kill()

    async def _kill(self) -> None:
        """Some of the processes, for a while."""
        self._counts["killed"] += 1
        killed = [node for node in self._nodes if self._chance.random() < 0.5]
        control = self._chance.random() < 0.5
        for node in killed:
            await node.process.kill()
        if control:
            await self._control.kill()
        await asyncio.sleep(self._chance.random() * 5)
        for node in killed:
            node.start()
        if control:
            self._start_control()

    async def _write(self) -> None:
        """A workload is made, or changed, as a user who always succeeds would do it."""
        kind = self._chance.choice(list(KINDS))
        resource = KINDS[kind]
        try:
            known = await self._world.sure.get(resource, "default", kind.lower())
        except Failure:
            await self._world.sure.create(resource, "default", first(kind, self._chance))
            return
        made = changed(kind, copied(known), self._chance)
        with contextlib.suppress(Failure):  # a controller was faster
            await self._world.sure.update(resource, made)

    async def _delete(self, name: str) -> None:
        with contextlib.suppress(Failure):
            await self._world.sure.delete(PODS, "default", name)

    async def _look(self) -> None:
        """What must hold at every moment."""
        while True:
            at_work = [found for node in self._nodes for found in node.at_work()]
            names = [name for name, _ in at_work if name.startswith("statefulset-")]
            self._wrong += [f"{name} is at work twice" for name in set(names) if names.count(name) > 1]
            try:
                self._wrong += await too_many(self._world)
            except BoxshipError as error:
                self._wrong.append(f"cannot look: {error}")
            await asyncio.sleep(LOOK_SECONDS)

    async def _settle(self) -> None:
        """Nothing fails any more: everything comes to where it belongs."""
        world = self._world
        world.trouble = 0.0
        end = asyncio.get_running_loop().time() + CALM_SECONDS
        while left := await is_settled(world, NODES):
            if asyncio.get_running_loop().time() > end:
                self._wrong += left
                return
            await asyncio.sleep(1.0)
        living = {pod["metadata"]["uid"] for pod in await world.all(PODS)}
        for node in self._nodes:
            for name, uid in node.at_work():
                if uid not in living:
                    self._wrong.append(f"{name} is at work on {node.name}, and no pod of the API")


class _Noticing(logging.Handler):
    """What nobody foresaw is wrong, even where it heals."""

    def __init__(self, wrong: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._wrong = wrong

    def emit(self, record: logging.LogRecord) -> None:
        error: Any = record.exc_info and record.exc_info[1]
        self._wrong.append(f"{record.getMessage()}: {error!r}")
