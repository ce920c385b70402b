"""Verbs that change the state of containers that are there: start, stop, restart, kill, rm, pause and unpause."""

from __future__ import annotations

from collections.abc import Callable

from boxship.compose.model import Project, Service
from boxship.compose.planning.actions import (
    Action,
    KillContainer,
    PauseContainer,
    Plan,
    RemoveContainer,
    RestartContainer,
    StartContainer,
    StopContainer,
    UnpauseContainer,
)
from boxship.compose.planning.converging import Convergence, Replica, Scope
from boxship.compose.planning.down import remove as remove_one
from boxship.compose.planning.drafting import Draft
from boxship.compose.planning.matching import LIVE, orphans
from boxship.compose.planning.observed import Observed, SeenContainer
from boxship.compose.planning.options import (
    KillOptions,
    PauseOptions,
    RemoveOptions,
    RestartOptions,
    StartOptions,
    StopOptions,
)
from boxship.compose.planning.resources import Resources
from boxship.compose.planning.selecting import dependents, named, ordered, select
from boxship.errors import NotFound


def _of(observed: Observed, service: str, *, one_off: bool = False) -> list[SeenContainer]:
    found = [seen for seen in observed.containers if seen.service == service and (one_off or not seen.one_off)]
    return sorted(found, key=lambda seen: (seen.one_off, seen.number, seen.name))


def start(project: Project, observed: Observed, options: StartOptions) -> Plan:
    """Start what is there, each after what it depends on is as it says. Raises NotFound where the project has nothing;
    beside others, a service without containers (after `rm`) is left as it is."""
    chosen = select(project, options.services, dependencies=bool(options.services))
    draft = Draft()
    convergence = Convergence(draft, Scope(project=chosen, whole=project, observed=observed, resources=Resources()))
    for name in ordered(chosen.services):
        service = chosen.services[name]
        containers = _of(observed, name)
        if not containers and service.replicas > 0 and not any(not seen.one_off for seen in observed.containers):
            raise NotFound(f'service "{name}" has no container to start')
        needed = convergence.conditions(service)
        convergence.replicas[name] = [_start_one(draft, service, seen, needed) for seen in containers]
    if options.wait:
        convergence.await_all(options.wait_timeout)
    return draft.plan()


def _start_one(draft: Draft, service: Service, seen: SeenContainer, needed: tuple[int, ...]) -> Replica:
    if seen.state in LIVE:
        return Replica(seen.id, seen.name, (), healthy=seen.health == "healthy")
    step = draft.add(StartContainer(service=service.name, container=seen.id, name=seen.name), needed)
    return Replica(seen.id, seen.name, (step,))


def stop(project: Project, observed: Observed, options: StopOptions) -> Plan:
    """Stop, dependents first."""
    chosen = named(project, options.services)
    draft = Draft()
    steps: dict[str, list[int]] = {}
    for name in reversed(ordered(chosen)):
        after = [step for other in dependents(chosen, name) for step in steps.get(other, ())]
        steps[name] = [
            draft.add(StopContainer(service=name, container=seen.id, name=seen.name, seconds=options.timeout), after)
            for seen in _of(observed, name)
            if seen.state in LIVE
        ] or after
    return draft.plan()


def restart(project: Project, observed: Observed, options: RestartOptions) -> Plan:
    """Restart the services, and those that want to restart with them, in the order of their dependencies."""
    chosen = dict(named(project, options.services))
    if not any(_of(observed, name) for name in chosen):
        return Plan((), ("no container to restart",))
    causes: dict[str, str] = {}
    if not options.no_deps:
        for name in ordered(project.services):
            service = project.services[name]
            cause = next((other for other, how in service.depends_on.items() if how.restart and other in chosen), "")
            if cause and name not in chosen:
                chosen[name] = service
                causes[name] = f"{cause} restarts"
    draft = Draft()
    scope = Scope(
        project=select(project, chosen, dependencies=False), whole=project, observed=observed, resources=Resources()
    )
    convergence = Convergence(draft, scope)
    for name in ordered(scope.project.services):
        needed = () if options.no_deps else convergence.conditions(scope.project.services[name])
        convergence.replicas[name] = []
        for seen in _of(observed, name):
            action = RestartContainer(service=name, container=seen.id, name=seen.name, seconds=options.timeout)
            step = draft.add(action, needed, causes.get(name, ""))
            convergence.replicas[name].append(Replica(seen.id, seen.name, (step,)))
    return draft.plan()


def kill(project: Project, observed: Observed, options: KillOptions) -> Plan:
    """Send a signal to what runs. Raises NotFound where nothing does."""
    chosen = named(project, options.services)
    draft = Draft()
    for name in chosen:
        for seen in _of(observed, name, one_off=True):
            if seen.state in LIVE:
                action = KillContainer(service=name, container=seen.id, name=seen.name, signal=options.signal)
                draft.add(action)
    if options.remove_orphans:
        for seen in orphans(project, observed):
            remove_one(draft, seen, (), None, "orphan")
    if not draft.steps:
        draft.warn("no container to kill")
    return draft.plan()


def remove(project: Project, observed: Observed, options: RemoveOptions) -> Plan:
    """`rm`: containers that do not run, or all with `stop`."""
    chosen = named(project, options.services)
    draft = Draft()
    stops: dict[str, list[int]] = {}
    for name in reversed(ordered(chosen)):
        after = [step for other in dependents(chosen, name) for step in stops.get(other, ())]
        stops[name] = []
        for seen in _of(observed, name, one_off=True):
            needed = after
            if seen.state in LIVE:
                if not options.stop:
                    continue
                needed = [draft.add(StopContainer(service=name, container=seen.id, name=seen.name), after)]
                stops[name] += needed
            action = RemoveContainer(
                service=name, container=seen.id, name=seen.name, volumes=options.volumes, force=True
            )
            draft.add(action, needed)
    if not draft.steps:
        draft.warn("No stopped containers")
    return draft.plan()


def pause(project: Project, observed: Observed, options: PauseOptions) -> Plan:
    return _each(
        project,
        observed,
        options,
        ("running",),
        lambda name, seen: PauseContainer(service=name, container=seen.id, name=seen.name),
    )


def unpause(project: Project, observed: Observed, options: PauseOptions) -> Plan:
    return _each(
        project,
        observed,
        options,
        ("paused",),
        lambda name, seen: UnpauseContainer(service=name, container=seen.id, name=seen.name),
    )


def _each(
    project: Project,
    observed: Observed,
    options: PauseOptions,
    states: tuple[str, ...],
    action: Callable[[str, SeenContainer], Action],
) -> Plan:
    draft = Draft()
    for name in named(project, options.services):
        for seen in _of(observed, name):
            if seen.state in states:
                draft.add(action(name, seen))
    return draft.plan()
