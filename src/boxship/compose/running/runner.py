"""Carry a plan out on a Host: a step begins when all that it comes after have ended well, as many at once as allowed.

One loop in the caller's thread decides; each action is done in a thread of its own, and its end comes back through an
inbox. A failure stops what depends on it and nothing else. Waiting for a container does not count as work: it must
never keep the container from being started that it waits for.
"""

from __future__ import annotations

import queue
import threading
from typing import Any

from msgspec import Struct, structs

from boxship.compose.model import Project
from boxship.compose.planning import rolling
from boxship.compose.planning.actions import (
    Action,
    AwaitContainer,
    Pass,
    Plan,
    RollService,
    Step,
    WatchContainer,
)
from boxship.compose.running.cancel import Cancel
from boxship.compose.running.host import Host, News
from boxship.compose.running.view import Event, Failure, Outcome, View, subject, words
from boxship.errors import BoxshipError

PASSIVE = (AwaitContainer, WatchContainer)


class Work(Struct, frozen=True):
    """One action of a step; `replica` counts in a rolling update, and is -1 elsewhere."""

    step: Step
    action: Action
    replica: int = -1
    phase: rolling.Phase | None = None


class Ended(Struct, frozen=True):
    work: Work
    made: str = ""
    failure: str = ""


class Told(Struct, frozen=True):
    work: Work
    news: News


class Rested(Struct, frozen=True):
    """A delay of a rolling update is over."""

    step: Step
    replica: int


def run(
    plan: Plan,
    project: Project,
    host: Host,
    view: View,
    *,
    parallel: int = 0,
    dry_run: bool = False,
    cancel: Cancel | None = None,
) -> Outcome:
    """Do it all, or as much as can be done. `parallel` 0 is no limit. Ctrl-C (KeyboardInterrupt, or `cancel` asked)
    lets running actions end; a second one returns at once, with their threads left behind."""
    cancel = cancel or Cancel()
    runner = _Runner(plan, project, host, view, parallel, dry_run, cancel)
    cancel.attach(runner.inbox)
    try:
        view.begin(plan, dry_run)
        outcome = runner.run()
        view.end(outcome)
        return outcome
    finally:
        cancel.detach(runner.inbox)


class _Runner:
    def __init__(
        self, plan: Plan, project: Project, host: Host, view: View, parallel: int, dry_run: bool, cancel: Cancel
    ) -> None:
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._project, self._host, self._view = project, host, view
        self._parallel, self._dry_run, self._cancel = parallel, dry_run, cancel
        self._pending = {step.id: step for step in plan.steps}
        self._over: dict[int, bool] = {}  # step → whether those after it may begin
        self._ready: list[Work] = []  # waiting for room
        self._active: list[Work] = []
        self._rolls: dict[int, rolling.Roll] = {}
        self._resting = 0
        self._made: dict[str, str] = {}
        self._failures: list[Failure] = []
        self._warnings: list[str] = []

    def run(self) -> Outcome:
        while True:
            self._begin_steps()
            self._launch()
            if not self._goes_on():
                break
            try:
                message = self.inbox.get()
            except KeyboardInterrupt:
                self._cancel.ask()
                continue
            self._take(message)
        waiting = [work for work in self._active if isinstance(work.action, PASSIVE)]
        for work in (*waiting, *self._ready, *(Work(step, step.action) for step in self._pending.values())):
            self._tell(work, "canceled", "Canceled")
        return Outcome(
            failures=tuple(self._failures),
            warnings=tuple(self._warnings),
            canceled=self._canceled,
            made=dict(self._made),
        )

    @property
    def _canceled(self) -> bool:
        return self._cancel.times > 0

    def _goes_on(self) -> bool:
        if self._cancel.times > 1:
            return False
        if self._canceled:  # what only waits is not waited for
            return any(not isinstance(work.action, PASSIVE) for work in self._active)
        return bool(self._active or self._ready or self._resting)

    def _begin_steps(self) -> None:
        """Steps whose time has come, or never will."""
        moved = True
        while moved and not self._canceled:
            moved = False
            for step in list(self._pending.values()):
                if any(self._over.get(before) is False for before in step.after):
                    del self._pending[step.id]
                    self._over[step.id] = step.optional
                    self._tell(Work(step, step.action), "canceled", "Canceled")
                    moved = True
                elif all(before in self._over for before in step.after):
                    del self._pending[step.id]
                    self._begin(step)
                    moved = True

    def _begin(self, step: Step) -> None:
        if isinstance(step.action, RollService):
            self._tell(Work(step, step.action), "working", words(step.action)[0])
            roll, dos = rolling.begin(step.action)
            self._roll_on(step, roll, dos)
        elif isinstance(step.action, Pass):
            self._over[step.id] = True
            self._tell(Work(step, step.action), "done", step.action.text)
        else:
            self._ready.append(Work(step, step.action))

    def _launch(self) -> None:
        """Let actions begin while there is room."""
        waiting, self._ready = self._ready, []
        for work in waiting:
            busy = sum(not isinstance(other.action, PASSIVE) for other in self._active)
            room = isinstance(work.action, PASSIVE) or not self._parallel or busy < self._parallel
            if self._canceled or not room:
                self._ready.append(work)
                continue
            self._active.append(work)
            self._tell(work, "working", words(work.action, work.phase)[0])
            if self._dry_run:
                self.inbox.put(Ended(work))
            else:
                threading.Thread(target=self._perform, args=(work, self._resolved(work.action)), daemon=True).start()

    def _resolved(self, action: Action) -> Action:
        """Names of containers that this plan made become their ids."""
        container = getattr(action, "container", "")
        if container.startswith("new:"):
            return structs.replace(action, container=self._made.get(container[4:], container[4:]))
        return action

    def _perform(self, work: Work, action: Action) -> None:
        """In a thread: one action, and its end as a message."""

        def tell(news: News) -> None:
            self.inbox.put(Told(work, news))

        try:
            made = self._host.perform(self._project, action, tell)
        except BoxshipError as error:
            self.inbox.put(Ended(work, failure=str(error) or type(error).__name__))
        except BaseException as error:  # whatever ends the thread must be told, or the run waits for ever
            self.inbox.put(Ended(work, failure=f"{type(error).__name__}: {error}"))
        else:
            self.inbox.put(Ended(work, made))

    def _take(self, message: object) -> None:
        if isinstance(message, Told):
            news = message.news
            if message.work in self._active:
                self._tell(message.work, "working", news.text, news.current, news.total)
        elif isinstance(message, Ended):
            self._end(message)
        elif isinstance(message, Rested):
            self._resting -= 1
            self._advance(message.step, rolling.Event(message.replica))

    def _end(self, ended: Ended) -> None:
        work = ended.work
        self._active.remove(work)
        if ended.made:
            self._made[getattr(work.action, "name", "")] = ended.made
        if work.replica >= 0:
            state = "warning" if ended.failure else "done"
            self._tell(work, state, ended.failure or words(work.action, work.phase)[1])
            self._advance(work.step, rolling.Event(work.replica, ended.failure))
            return
        if not ended.failure:
            self._over[work.step.id] = True
            self._tell(work, "done", words(work.action)[1])
        else:
            self._fail(work, ended.failure, work.step.optional)

    def _fail(self, work: Work, reason: str, optional: bool) -> None:
        self._over[work.step.id] = optional
        self._tell(work, "warning" if optional else "failed", reason)
        if optional:
            self._warnings.append(reason)
        else:
            self._failures.append(Failure(subject(work.action), reason))

    def _advance(self, step: Step, event: rolling.Event) -> None:
        if not self._canceled:  # what is half-done stays: the next run finishes it or takes it back
            roll, dos = rolling.advance(self._rolls[step.id], event)
            self._roll_on(step, roll, dos)

    def _roll_on(self, step: Step, roll: rolling.Roll, dos: tuple[rolling.Do, ...]) -> None:
        self._rolls[step.id] = roll
        for do in dos:
            if do.action is not None:
                self._ready.append(Work(step, do.action, do.replica, do.phase))
            elif self._dry_run:
                self._resting += 1
                self.inbox.put(Rested(step, do.replica))
            else:
                self._resting += 1
                timer = threading.Timer(do.seconds, self.inbox.put, (Rested(step, do.replica),))
                timer.daemon = True
                timer.start()
        if rolling.is_over(roll):
            self._end_roll(step, roll)

    def _end_roll(self, step: Step, roll: rolling.Roll) -> None:
        """What other steps call the new container is whichever holds the place in the end."""
        for index, slot in enumerate(roll.action.slots):
            if not rolling.holder(roll, index).startswith("new:"):
                self._made[slot.create.name] = slot.old
        verdict = rolling.verdict(roll)
        work = Work(step, step.action)
        if not verdict.ok:
            self._fail(work, verdict.text, step.optional)
            return
        self._over[step.id] = True
        if verdict.text:
            self._warnings.append(verdict.text)
        self._tell(work, "warning" if verdict.text else "done", verdict.text or words(step.action)[1])

    def _tell(self, work: Work, state: str, text: str, current: int = 0, total: int = 0) -> None:
        event = Event(
            step=work.step.id,
            subject=subject(work.action),
            state=state,
            text=text,
            service=work.action.service,
            reason=work.step.reason,
            current=current,
            total=total,
            dry_run=self._dry_run,
        )
        self._view.event(event)
