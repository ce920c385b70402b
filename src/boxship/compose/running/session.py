"""Changing a project: alone (by its lock), in phases, each of which looks at what is there before it plans.

A phase that fails or is canceled ends the whole; what the next one knows, it sees in the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from boxship.compose.model import Project
from boxship.compose.planning.actions import Plan
from boxship.compose.planning.images import builds, pulls
from boxship.compose.planning.observed import Observed
from boxship.compose.planning.options import UpOptions
from boxship.compose.planning.selecting import looked_at
from boxship.compose.running.cancel import Cancel
from boxship.compose.running.host import Host
from boxship.compose.running.runner import run
from boxship.compose.running.view import Failure, Outcome, View

Phase = Callable[[Observed], Plan]


def image_phases(project: Project, options: UpOptions) -> tuple[Phase, Phase]:
    """What `up`, `create` and `run` do first: pull, and then build what is still missing."""
    return (lambda seen: pulls(project, seen, options), lambda seen: builds(project, seen, options))


def change(
    host: Host,
    project: Project,
    view: View,
    *phases: Phase,
    parallel: int = 0,
    dry_run: bool = False,
    wait: bool = True,
    cancel: Cancel | None = None,
) -> Outcome:
    """Observe, plan and run, phase by phase. `wait`: for another who is changing the project; else Conflict is raised.
    Errors of planning are raised, before that phase touched anything."""
    images, networks, volumes = looked_at(project)
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    made: dict[str, str] = {}
    cancel = cancel or Cancel()
    with nullcontext() if dry_run else host.lock(project.name, wait=wait, tell=view.say):
        for phase in phases:
            plan = phase(host.observe(project.name, images=images, networks=networks, volumes=volumes))
            if not plan.steps and not plan.warnings:
                continue
            outcome = run(plan, project, host, view, parallel=parallel, dry_run=dry_run, cancel=cancel)
            failures, warnings = (*failures, *outcome.failures), (*warnings, *outcome.warnings)
            made.update(outcome.made)
            if outcome.code:
                break
    return Outcome(failures=failures, warnings=warnings, canceled=cancel.times > 0, made=made)
