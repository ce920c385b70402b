"""The seeded simulation of the agent: pods of many shapes come and go, containers die, the API and the machine fail,
lag and lie, and the agent itself is killed again and again. In virtual time, from one seed: a seed that fails does so
again.

    outcome = simulate(7)
    assert not outcome.wrong
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.cluster.node.agent import NodeAgent
from boxship.cluster.node.probes.asking import Asked
from boxship.cluster.node.runtime import RUNNING
from boxship.cluster.node.simulated.api import PODS, PodRules, SimulatedApi
from boxship.cluster.node.simulated.checks import Checks, true_status
from boxship.cluster.node.simulated.loop import run
from boxship.cluster.node.simulated.planning import SimulatedPlanner, SimulatedVolumes
from boxship.cluster.node.simulated.runtime import SimulatedRuntime
from boxship.cluster.node.simulated.shapes import IMAGES, random_pod
from boxship.cluster.node.status.facts import INTERNAL, MachineFacts, NodeFacts
from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Failure
from boxship.errors import Unavailable

NODE = "simulated"
ACTS = 40  # what the user does
CALM_SECONDS = 700.0  # that everything has to settle in, once nothing fails any more: back-offs are long
END_SECONDS = 120.0


class Outcome(msgspec.Struct, frozen=True):
    """`seconds` of virtual time; `wrong`: what must not have happened; `counts`: how much did."""

    seed: int
    seconds: float
    wrong: tuple[str, ...]
    counts: Mapping[str, int]


def simulate(seed: int, *, trouble: float = 0.05, deaths: int = 5) -> Outcome:
    """One whole life of a node. Takes about a second."""
    return run(lambda: _Scenario(seed, trouble, deaths).play())


class _Asker:
    """Answers probes by chance; what once was started stays so."""

    def __init__(self, chance: random.Random, api: SimulatedApi) -> None:
        self._chance = chance
        self._api = api

    async def ask(
        self, handler: Object, container: Object, id: str, address: str, *, timeout: float, agent: str = ""
    ) -> Asked:
        await asyncio.sleep(self._chance.random() * 0.05)
        fails = (
            0.0 if not self._api.trouble else {"livenessProbe": 0.05, "readinessProbe": 0.2}.get(_what(handler), 0.1)
        )
        return Asked(self._chance.random() >= fails, "the simulation says so")


def _what(handler: Object) -> str:
    return str(((handler.get("exec") or {}).get("command") or [""])[0])


class _Scenario:
    def __init__(self, seed: int, trouble: float, deaths: int) -> None:
        self._seed = seed
        self._chance = random.Random(seed)
        random.seed(seed)  # pauses of those who follow the API
        self._deaths = deaths
        self._wrong: list[str] = []
        self._api = SimulatedApi(self._chance, trouble, PodRules(self._wrong), self._see)
        self._runtime = SimulatedRuntime(self._api.now, pause=self._pause)
        self._volumes = SimulatedVolumes(self._pause)
        self._checks = Checks(self._runtime, self._volumes, self._wrong)
        self._agent: asyncio.Task[None] | None = None
        self._killed = 0

    def _see(self, resource: str, kind: str, object: Object) -> None:
        if resource == PODS:
            self._checks.see(kind, copied(object))

    def _pause(self) -> float:
        if self._chance.random() < self._api.trouble / 2:
            raise Unavailable("the simulated machine fails")
        return self._chance.random() * 0.03

    async def play(self) -> Outcome:
        noticing = _Noticing(self._wrong)
        loggers = [logging.getLogger(name) for name in ("boxship.cluster.node", "boxship.cluster.reconcile")]
        for logger in loggers:
            logger.addHandler(noticing)
        watching = asyncio.ensure_future(self._checks.watch_machine())
        try:
            self._begin()
            for number in range(ACTS):
                await asyncio.sleep(self._chance.random() * 2)
                await self._act(number)
            await self._settle()
        finally:
            for logger in loggers:
                logger.removeHandler(noticing)
            left = [task for task in (watching, self._agent) if task is not None]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        counts: dict[str, int] = {"killed": self._killed}
        for _, what, _, _ in self._runtime.history:
            counts[what] = counts.get(what, 0) + 1
        return Outcome(self._seed, asyncio.get_running_loop().time(), tuple(self._wrong), counts)

    def _begin(self) -> None:
        facts = NodeFacts(
            name=NODE,
            addresses=((INTERNAL, "192.0.2.1"),),
            machine=MachineFacts(cpus=100, memory=1 << 40),
        )
        agent = NodeAgent(
            self._api,
            self._runtime,
            SimulatedPlanner(),
            self._volumes,
            facts,
            clock=self._api.now,
            asks=_Asker(self._chance, self._api),
            pace=self._api.now,
        )
        self._agent = asyncio.ensure_future(agent.run())

    async def _kill(self) -> None:
        assert self._agent is not None
        if self._agent.done() and not self._agent.cancelled():
            self._wrong.append(f"the agent ended: {self._agent.exception()!r}")
        self._agent.cancel()
        await asyncio.gather(self._agent, return_exceptions=True)
        self._killed += 1

    async def _act(self, number: int) -> None:
        """One thing that a user, the machine or fate does."""
        pods = self._api.all(PODS)
        chance = self._chance.random()
        if chance < 0.4 or not pods:
            await self._create(number)
        elif chance < 0.6:
            self._delete(self._chance.choice(pods))
        elif chance < 0.75:
            alive = [one.id for one in self._runtime.table.values() if one.phase == RUNNING]
            if alive:
                self._runtime.end(self._chance.choice(alive), 137, 9)
        elif chance < 0.85:
            self._change_image(self._chance.choice(pods))
        elif chance < 0.9:
            for uid in list(self._runtime.pods)[:1]:
                self._runtime.break_sandbox(uid)
        elif self._deaths:
            self._deaths -= 1
            await self._kill()
            await asyncio.sleep(self._chance.random() * 3)
            self._begin()

    async def _create(self, number: int) -> None:
        pod = random_pod(self._chance, f"p{number}", NODE)
        while True:
            try:
                await self._api.create(PODS, "default", pod)
                return
            except Failure as failure:
                if failure.reason == "AlreadyExists":
                    return

    def _delete(self, pod: Object) -> None:
        grace: int | None = self._chance.choice((None, None, 0, 1))
        if grace == 0:  # the user says that he does not wait
            annotated: Object = copied(pod)
            annotated["metadata"].setdefault("annotations", {})["forced"] = "yes"
            self._api.edit(PODS, ("default", pod["metadata"]["name"]), annotated)
            pod = annotated
        self._api.end(PODS, pod, grace)

    def _change_image(self, pod: Object) -> None:
        changed: Object = copied(pod)
        changed["spec"]["containers"][0]["image"] = self._chance.choice(IMAGES)
        self._api.edit(PODS, ("default", pod["metadata"]["name"]), changed)

    async def _settle(self) -> None:
        """Nothing fails any more: everything comes to where it belongs, then to its end."""
        self._api.trouble = 0.0
        assert self._agent is not None
        if self._agent.done():
            self._wrong.append(f"the agent ended: {self._agent.exception()!r}")
        for pod in self._api.all(PODS):
            changed: Object = copied(pod)
            changed["metadata"].pop("finalizers", None)
            self._api.edit(PODS, ("default", pod["metadata"]["name"]), changed)
        await asyncio.sleep(CALM_SECONDS)
        for pod in self._api.all(PODS):
            self._wrong += [wrong for wrong in [true_status(pod, self._runtime)] if wrong]
            if pod["metadata"].get("deletionTimestamp"):
                self._wrong.append(f"pod {pod['metadata']['name']} does not end")
            elif (pod.get("status") or {}).get("phase") == "Pending" and not pod["spec"].get("initContainers"):
                self._wrong.append(f"pod {pod['metadata']['name']} does not begin: {pod['status']}")
        for pod in self._api.all(PODS):
            self._api.end(PODS, pod, None)
        await asyncio.sleep(END_SECONDS)
        self._checks.at_rest()


class _Noticing(logging.Handler):
    """What nobody foresaw is wrong, even where it heals."""

    def __init__(self, wrong: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._wrong = wrong

    def emit(self, record: logging.LogRecord) -> None:
        error: Any = record.exc_info and record.exc_info[1]
        self._wrong.append(f"{record.getMessage()}: {error!r}")
