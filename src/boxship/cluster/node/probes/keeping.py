"""The probes of one pod's running containers: one task for each container, which sleeps between questions. What they
find is read as verdicts; that they changed is told by an event that the pod's worker waits for."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from boxship.cluster.node.life.statuses import first_verdict, seconds
from boxship.cluster.node.life.values import MAIN, SIDECAR, Part, Verdict
from boxship.cluster.node.probes.asking import Asked, shown
from boxship.cluster.node.probes.judging import Score, early_pause, scored
from boxship.cluster.node.runtime import RUNNING, ContainerStatus
from boxship.cluster.objects import Object
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

TITLES = {"startupProbe": "Startup", "livenessProbe": "Liveness", "readinessProbe": "Readiness"}
Tell = Callable[[str, str, str, str], None]  # container's name, type, reason, message


def timeout_of(probe: Object) -> float:
    return float(probe.get("timeoutSeconds") or 1)


class Asks(Protocol):
    async def ask(self, handler: Object, container: Object, id: str, address: str, *, timeout: float) -> Asked: ...


class Probes:
    """Of one pod. `news` is set when a verdict has changed."""

    def __init__(self, asks: Asks, now: Callable[[], float], news: asyncio.Event, tell: Tell) -> None:
        self._asks = asks
        self._now = now
        self._news = news
        self._tell = tell
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._verdicts: dict[str, Verdict] = {}
        self.ending = False  # the pod ends: only readiness is asked for

    @property
    def verdicts(self) -> Mapping[str, Verdict]:
        return dict(self._verdicts)

    def follow(self, parts: Sequence[Part], busy: frozenset[str], address: str) -> None:
        """Begin with containers that run, end with those that do not."""
        running = {}
        for part in parts:
            run = part.current
            if run is None or run.phase != RUNNING or f"start/{part.name}" in busy:
                continue
            if part.kind in (MAIN, SIDECAR) and any(part.spec.get(key) for key in TITLES):
                running[run.id] = (part, run)
        for id in [id for id in self._tasks if id not in running]:
            self._tasks.pop(id).cancel()
            self._verdicts.pop(id, None)
        for id, (part, run) in running.items():
            if id not in self._tasks:
                self._verdicts[id] = first_verdict(part, run)
                self._tasks[id] = asyncio.ensure_future(self._run(part, run, address))

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, part: Part, run: ContainerStatus, address: str) -> None:
        try:
            if part.spec.get("startupProbe") and not self._verdicts[run.id].started:
                await self._follow("startupProbe", part, run, address)
            kinds = [key for key in ("livenessProbe", "readinessProbe") if part.spec.get(key)]
            await asyncio.gather(*(self._follow(key, part, run, address) for key in kinds))
        except Exception:
            log.exception("cannot go on probing container %s", part.name)

    async def _follow(self, key: str, part: Part, run: ContainerStatus, address: str) -> None:
        """One probe, until it has nothing more to say."""
        probe = part.spec[key]
        period = float(probe.get("periodSeconds") or 10)
        await asyncio.sleep(
            max(seconds(run.started_at) + float(probe.get("initialDelaySeconds") or 0) - self._now(), 0)
        )
        score, tried = Score(), 0
        while not (self.ending and key != "readinessProbe"):
            began = asyncio.get_running_loop().time()
            asked = await self._ask(probe, part, run, address)
            pause = early_pause(score, probe, asked.text, tried) if asked.ok is False else 0.0
            if pause:
                tried += 1
                await asyncio.sleep(pause)
                continue
            if asked.warns:
                self._tell(part.name, "Warning", "ProbeWarning", f"{TITLES[key]} probe warning: {asked.text}")
            if not asked.ok:
                what = "errored and resulted in unknown state" if asked.ok is None else "failed"
                if not self.ending:
                    text = shown(probe, asked, address, timeout_of(probe))
                    self._tell(part.name, "Warning", "Unhealthy", f"{TITLES[key]} probe {what}: {text}")
            if asked.ok is not None:
                score = scored(score, probe, asked.ok)
                self._judge(key, probe, run.id, score)
                if key == "startupProbe" and score.result is not None:
                    return
                if key == "livenessProbe" and score.result is False:
                    return
            await asyncio.sleep(max(began + period - asyncio.get_running_loop().time(), 0.001))

    async def _ask(self, probe: Object, part: Part, run: ContainerStatus, address: str) -> Asked:
        try:
            return await self._asks.ask(probe, part.spec, run.id, address, timeout=timeout_of(probe))
        except BoxshipError as error:
            return Asked(None, str(error))

    def _judge(self, key: str, probe: Object, id: str, score: Score) -> None:
        before = self._verdicts.get(id)
        if before is None or score.result is None:
            return
        verdict = before
        if key == "readinessProbe":
            verdict = msgspec.structs.replace(before, ready=score.result)
        elif not score.result:
            grace = probe.get("terminationGracePeriodSeconds")
            failed = "startup" if key == "startupProbe" else "liveness"
            verdict = msgspec.structs.replace(before, failed=failed, grace=None if grace is None else float(grace))
        elif key == "startupProbe":
            verdict = msgspec.structs.replace(before, started=True)
        if verdict != before:
            self._verdicts[id] = verdict
            self._news.set()
