"""Leader election in virtual time, over an API that refuses, is silent about what it did, and lags: never do two lead
at once, and somebody leads again soon, whoever is killed, cut off, paused or ends."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import cast

import pytest
from workloads_simulation import Api, run

from boxship.cluster.access import Client, Event, Listing
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.leading import NAMESPACE, RESOURCE, Leading

SEEDS = range(20)


class Line:
    """One candidate's own line to the API, which may be cut."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.cut = False

    async def get(self, *words: str) -> Object:
        self._ask()
        return await self._api.get(*words)

    async def list(self, resource: str, **selectors: str) -> Listing:
        self._ask()
        return await self._api.list(resource, **selectors)

    async def watch(self, resource: str, **words: str) -> AsyncIterator[Event]:
        async for event in self._api.watch(resource, **words):
            self._ask()
            yield event

    async def create(self, resource: str, namespace: str, object: Object) -> Object:
        self._ask()
        return await self._api.create(resource, namespace, object)

    async def update(self, resource: str, object: Object) -> Object:
        self._ask()
        return await self._api.update(resource, object)

    def _ask(self) -> None:
        if self.cut:
            raise Failure(503, "ServiceUnavailable", "cut off")


class Candidate:
    def __init__(self, name: str, api: Api) -> None:
        self.line = Line(api)
        self.asleep = 0.0  # while it sleeps its work does not go on, but its clock does
        self.worked = 0
        loop = asyncio.get_running_loop()
        self.leading = Leading(cast(Client, self.line), "test", name, clock=loop.time, now=api.now)
        self.works = False
        self.task = asyncio.create_task(self.leading.run(self.work))

    async def work(self) -> None:
        self.works = True
        try:
            while True:
                await asyncio.sleep(0.1)
                self.worked += 1
        finally:
            self.works = False

    async def end(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


def leaders(candidates: list[Candidate]) -> list[Candidate]:
    return [one for one in candidates if one.works and one.leading.leads]


@pytest.mark.parametrize("seed", SEEDS)
def test_at_most_one_leads_and_soon_one_does(seed: int) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)
        random.seed(seed)
        api = Api(chance, 0.05)
        made = 0

        def start() -> Candidate:
            nonlocal made
            made += 1
            return Candidate(f"c{made}", api)

        candidates = [start() for _ in range(3)]
        loop = asyncio.get_running_loop()
        free_since, changes = loop.time(), 0
        while loop.time() < 600:
            await asyncio.sleep(0.25)
            leading = leaders(candidates)
            assert len(leading) <= 1, f"two lead at {loop.time()}"
            if leading:
                free_since = loop.time()
            assert loop.time() - free_since < 45, f"nobody leads since {free_since}"
            for one in candidates:
                assert not one.task.done(), one.task
            if chance.random() < 0.02:
                changes += 1
                one = chance.choice(candidates)
                match chance.randrange(3):
                    case 0:  # a clean end, and a new one
                        await one.end()
                        candidates[candidates.index(one)] = start()
                    case 1:
                        one.line.cut = not one.line.cut
                    case 2:
                        for other in candidates:
                            other.line.cut = False
        assert changes > 5
        for one in candidates:
            await one.end()

    run(scenario)


def test_a_clean_end_hands_over_at_once() -> None:
    async def scenario() -> None:
        api = Api(random.Random(1), 0.0)
        first, second = Candidate("first", api), None
        loop = asyncio.get_running_loop()
        while not first.works:
            await asyncio.sleep(0.01)
        assert loop.time() < 0.1
        second = Candidate("second", api)
        await asyncio.sleep(20)
        assert not second.works and first.works
        await first.end()
        ended = loop.time()
        while not second.works:
            await asyncio.sleep(0.01)
        assert loop.time() - ended < 0.2
        spec = api.objects[RESOURCE][NAMESPACE, "test"]["spec"]
        assert spec["holderIdentity"] == "second" and spec["leaseTransitions"] >= 1

    run(scenario)


def test_who_is_alone_waits_for_nothing_and_nobody() -> None:
    async def scenario() -> None:
        api = Api(random.Random(1), 0.0)
        other = Candidate("killed", api)
        await asyncio.sleep(1)
        other.line.cut = True
        other.task.cancel()
        worked = asyncio.Event()

        async def work() -> None:
            worked.set()
            await asyncio.sleep(1000)

        leading = Leading(api, "test", "alone", alone=True, clock=asyncio.get_running_loop().time, now=api.now)
        task = asyncio.create_task(leading.run(work))
        await asyncio.sleep(0)
        await asyncio.wait_for(worked.wait(), 0.001)
        assert leading.leads
        await asyncio.sleep(1)
        assert api.objects[RESOURCE][NAMESPACE, "test"]["spec"]["holderIdentity"] == "alone"
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert not leading.leads
        assert api.objects[RESOURCE][NAMESPACE, "test"]["spec"]["holderIdentity"] == ""

    run(scenario)


def test_who_was_asleep_may_write_no_more() -> None:
    async def scenario() -> None:
        api = Api(random.Random(1), 0.0)
        loop = asyncio.get_running_loop()
        slept = 0.0
        leading = Leading(api, "test", "sleeper", clock=lambda: loop.time() + slept, now=api.now)
        before: list[bool] = []

        async def work() -> None:
            nonlocal slept
            await asyncio.sleep(0.5)
            before.append(leading.leads)
            slept = 30.0
            before.append(leading.leads)
            await asyncio.sleep(1000)

        task = asyncio.create_task(leading.run(work))
        await asyncio.sleep(1)
        assert before == [True, False]
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    run(scenario)


def test_a_failing_work_is_not_hidden() -> None:
    async def scenario() -> None:
        api = Api(random.Random(1), 0.0)
        leading = Leading(api, "test", "one", clock=asyncio.get_running_loop().time, now=api.now)

        async def work() -> None:
            raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            await leading.run(work)

    run(scenario)
