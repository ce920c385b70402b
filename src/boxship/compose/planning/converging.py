"""Services → steps: each container made, replaced, started or removed, in the order in which services depend on each
other. What `up`, `create`, `scale` and `run` share.

A replacement makes the new container first, under a temporary name, and touches the old one only when everything that
the service depends on is ready: whatever fails before leaves the old one at work.
"""

from __future__ import annotations

from msgspec import Struct, field

from boxship.compose.hashing import grants_hash, later_hash, service_hash
from boxship.compose.model import Project, Service
from boxship.compose.planning.actions import (
    AwaitContainer,
    CreateContainer,
    Pass,
    RemoveContainer,
    RenameContainer,
    RestartContainer,
    RollService,
    Slot,
    StartContainer,
    StopContainer,
    UnpauseContainer,
)
from boxship.compose.planning.drafting import Draft
from boxship.compose.planning.handover import holders
from boxship.compose.planning.matching import DIVERGED, LIVE, NEVER, Dropped, Kept, Match, Replaced, Wanted, match
from boxship.compose.planning.naming import container_labels, image_of, temporary_name
from boxship.compose.planning.observed import Observed, SeenContainer
from boxship.compose.planning.policies import policy_of, rolls, start_first
from boxship.compose.planning.resources import Resources
from boxship.compose.planning.selecting import joined, ordered
from boxship.errors import Invalid

Ids = tuple[int, ...]


class Scope(Struct, frozen=True, kw_only=True):
    """What a verb asks of the services. `recreate` is diverged, force or never for those that were named,
    `recreate_dependencies` for the others."""

    project: Project  # only the services that take part
    whole: Project  # as the file has it: what a service is like does not depend on who takes part
    first: Ids = ()  # steps that come before anything is made or started: orphans go
    observed: Observed
    resources: Resources
    named: frozenset[str] = frozenset()
    scale: dict[str, int] = field(default_factory=dict)
    recreate: str = DIVERGED
    recreate_dependencies: str = DIVERGED
    renew_volumes: bool = False
    start: bool = True
    timeout: float | None = None
    wait_timeout: float | None = None


class Replica(Struct, frozen=True):
    """A container that will be there: its id or "new:NAME", its final name, the steps after which it is started, and
    what it was before."""

    container: str
    name: str
    ready: Ids
    fresh: bool = False
    healthy: bool = False  # before the plan began, and left alone


class Convergence:
    """Writes the steps of one plan; `replicas` is what each service will have."""

    def __init__(self, draft: Draft, scope: Scope) -> None:
        self.draft = draft
        self.scope = scope
        self.replicas: dict[str, list[Replica]] = {}
        self.renewed: set[str] = set()  # services of which a container that was there is replaced
        self._awaits: dict[tuple[str, str, bool], Ids] = {}
        self._stops: dict[str, int] = {}  # container → the step that stops it
        self._created: dict[str, Ids] = {}  # service → the steps that make what it did not have

    def run(self) -> None:
        for name in ordered(self.scope.project.services):
            self._service(self.scope.project.services[name])
        self._follow()

    def _follow(self) -> None:
        """Services that take no part, but live in a container that is replaced: theirs are replaced with it."""
        whole = self.scope.whole.services
        there = {seen.service for seen in self.scope.observed.containers if not seen.one_off}
        for name in ordered(whole) if self.renewed else ():
            taken = name not in self.replicas and name in there
            if taken and any(other in self.renewed for other in joined(whole[name])):
                self._service(whole[name])

    def _service(self, service: Service) -> None:
        scope = self.scope
        wanted = self._wanted(service)
        found = match(wanted, scope.observed)
        needed = self._ports_free(service, self.conditions(service)) if scope.start else ()
        replicas: list[Replica] = []
        self.replicas[service.name] = replicas
        settled: dict[int, Ids] = {}
        for leftover in found.leftovers:
            settled.setdefault(leftover.container.number, ())
            settled[leftover.container.number] += self.drop(leftover)
        for kept in found.kept:
            replicas.append(self._keep(wanted, kept, settled.get(kept.container.number, ()), needed))
        if found.changes:
            self.renewed.add(service.name)
        made = self.made_after(service)
        rolled = [r for r in found.replaced if r.container.state != "created"] if wanted.rolls else []
        if rolled and any(replaced.container.state in LIVE for replaced in rolled):
            replicas += self._roll(wanted, rolled, settled, made + needed)
        else:
            rolled = []
        for replaced in found.replaced:
            if replaced not in rolled:
                after = settled.get(replaced.container.number, ())
                replicas.append(self._replace(wanted, replaced, after, made, needed))
        for number in found.missing:
            replicas.append(self._add(wanted, number, made, needed))
        self._finish(found, replicas)

    def _finish(self, found: Match, replicas: list[Replica]) -> None:
        """What there is too much of goes when the rest is ready."""
        ready = tuple(step for replica in replicas for step in replica.ready)
        for surplus in found.surplus:
            self.drop(surplus, ready)

    def _wanted(self, service: Service) -> Wanted:
        scope = self.scope
        scale = scope.scale.get(service.name, service.replicas)
        if service.container_name and scale > 1:
            raise Invalid(
                f'The "{service.name}" service is using the custom container name "{service.container_name}". '
                "Docker requires each container to have a unique name. Remove the custom name to scale the service"
            )
        recreate = scope.recreate if service.name in scope.named else scope.recreate_dependencies
        reason = next((f"{name} is replaced" for name in joined(service) if name in self.renewed), "")
        changed = [name for key, name in scope.resources.renewed.items() if key in service.networks]
        if changed:
            reason = f"network {changed[0]} changed"
        return Wanted(
            project=scope.project,
            service=service,
            scale=scale,
            hash=service_hash(self._whole(service)),
            later_hash=later_hash(self._whole(service)),
            image_id=scope.observed.images.get(image_of(scope.project, service), ""),
            grants=grants_hash(scope.project, service),
            recreate=recreate,
            reason=reason,
            rolls=scope.start and not changed and rolls(service, scale),
        )

    def _ports_free(self, service: Service, needed: Ids) -> Ids:
        """Containers of other services that hold a port which is this one's now are stopped."""
        stops: Ids = ()
        if self.scope.recreate == NEVER:
            return needed
        for seen in holders(self.scope.project, self.scope.observed, service):
            if seen.id not in self._stops:
                self._stop(seen, needed, f"{service.name} takes over its port")
            stops += (self._stops[seen.id],)
        return (*needed, *stops)

    def _stop(self, seen: SeenContainer, after: Ids, reason: str) -> Ids:
        action = StopContainer(service=seen.service, container=seen.id, name=seen.name, seconds=self.scope.timeout)
        self._stops[seen.id] = self.draft.add(action, after, reason)
        return (self._stops[seen.id],)

    def _whole(self, service: Service) -> Service:
        whole = self.scope.whole
        return whole.services.get(service.name) or whole.disabled.get(service.name) or service

    def made_after(self, service: Service) -> Ids:
        """The steps before a container of the service can be made."""
        resources = self.scope.resources
        steps = list(self.scope.first)
        steps += [resources.networks[key] for key in service.networks if key in resources.networks]
        steps += [resources.volumes[mount.source] for mount in service.volumes if mount.source in resources.volumes]
        for name in service.depends_on:  # in their order, as everybody is used to
            steps += self._created.get(name, ())
        for name in joined(service):
            steps += [step for replica in self.replicas.get(name, ()) for step in replica.ready]
        return tuple(steps)

    def conditions(self, service: Service) -> Ids:
        """The steps before a container of the service can be started: what it depends on is as it says."""
        steps: Ids = self.scope.first
        for name, dependency in service.depends_on.items():
            if name in self.replicas:
                steps += self._condition(name, dependency.condition.removeprefix("service_"), dependency.required)
        return steps

    def _condition(self, name: str, condition: str, required: bool) -> Ids:
        key = (name, condition, required)
        if key not in self._awaits:
            word = "completed" if condition == "completed_successfully" else condition
            steps: Ids = ()
            for replica in self.replicas[name]:
                steps += self._await(name, replica, word, not required)
            self._awaits[key] = steps
        return self._awaits[key]

    def _await(self, service: str, replica: Replica, condition: str, optional: bool) -> Ids:
        if (condition == "started" and not optional) or (replica.healthy and condition == "healthy"):
            return replica.ready
        action = AwaitContainer(
            service=service,
            container=replica.container,
            name=replica.name,
            condition=condition,
            checked=condition == "healthy",
        )
        return (self.draft.add(action, replica.ready, optional=optional),)

    def await_all(self, seconds: float | None) -> None:
        """Wait until every container runs and is healthy; those that others wait to complete, until they have."""
        services = self.scope.project.services
        completing = {
            name
            for service in services.values()
            for name, dependency in service.depends_on.items()
            if dependency.condition == "service_completed_successfully"
        }
        for name, replicas in self.replicas.items():
            condition = "completed" if name in completing else "healthy"
            for replica in replicas:
                action = AwaitContainer(
                    service=name,
                    container=replica.container,
                    name=replica.name,
                    condition=condition,
                    seconds=seconds,
                )
                self.draft.add(action, replica.ready)

    def restart_dependents(self) -> None:
        """Containers that were left alone, of services that want to restart with what they depend on."""
        for service in self.scope.project.services.values():
            causes = [name for name, how in service.depends_on.items() if how.restart and name in self.renewed]
            if not causes or not self.scope.start:
                continue
            needed = self.conditions(service)
            for place, replica in enumerate(self.replicas[service.name]):
                if not replica.fresh and replica.container in self._live():
                    action = RestartContainer(
                        service=service.name,
                        container=replica.container,
                        name=replica.name,
                        seconds=self.scope.timeout,
                    )
                    step = self.draft.add(action, (*replica.ready, *needed), f"{causes[0]} is replaced")
                    self.replicas[service.name][place] = Replica(replica.container, replica.name, (step,))

    def _live(self) -> set[str]:
        return {seen.id for seen in self.scope.observed.containers if seen.state in LIVE}

    def drop(self, dropped: Dropped, after: Ids = ()) -> Ids:
        """Stop and remove a container."""
        seen = dropped.container
        if seen.state in LIVE:
            after = self._stop(seen, after, dropped.reason)
        remove = RemoveContainer(
            service=seen.service, container=seen.id, name=seen.name, volumes=dropped.volumes, force=True
        )
        return (self.draft.add(remove, after, dropped.reason),)

    def _keep(self, wanted: Wanted, kept: Kept, after: Ids, needed: Ids) -> Replica:
        seen, name, service = kept.container, kept.name, wanted.service.name
        if seen.name != name:
            after = (self.draft.add(RenameContainer(service=service, container=seen.id, name=name), after),)
        if seen.state == "paused" and self.scope.start:
            after = (self.draft.add(UnpauseContainer(service=service, container=seen.id, name=name), after),)
        elif seen.state != "running" and self.scope.start:
            action = StartContainer(service=service, container=seen.id, name=name)
            after = (self.draft.add(action, (*after, *needed)),)
        else:
            text = "Running" if seen.state == "running" else "Created"
            after = (self.draft.add(Pass(service=service, name=name, text=text), after),)
        return Replica(seen.id, name, after, healthy=seen.state == "running" and seen.health == "healthy")

    def _creation(self, wanted: Wanted, name: str, number: int, replaces: str = "") -> CreateContainer:
        service = wanted.service
        return CreateContainer(
            service=service.name,
            name=name,
            number=number,
            image=image_of(wanted.project, service),
            inherit="" if self.scope.renew_volumes else replaces,
            labels=container_labels(
                wanted.project, self._whole(service), number, wanted.image_id, wanted.hash, replaces=replaces
            ),
        )

    def _add(self, wanted: Wanted, number: int, made: Ids, needed: Ids) -> Replica:
        name = wanted.name(number)
        steps: Ids = (self.draft.add(self._creation(wanted, name, number), made),)
        self._created[wanted.service.name] = self._created.get(wanted.service.name, ()) + steps
        return self._started(wanted, f"new:{name}", name, steps, needed)

    def _started(self, wanted: Wanted, container: str, name: str, steps: Ids, needed: Ids) -> Replica:
        if self.scope.start:
            start = StartContainer(service=wanted.service.name, container=container, name=name)
            steps = (self.draft.add(start, (*steps, *needed)),)
        return Replica(container, name, steps, fresh=True)

    def _replace(self, wanted: Wanted, replaced: Replaced, after: Ids, made: Ids, needed: Ids) -> Replica:
        old, service = replaced.container, wanted.service.name
        temporary = temporary_name(old.id, replaced.name)
        new = f"new:{temporary}"
        create = self._creation(wanted, temporary, old.number, old.id)
        # Only now, so that nothing half-made stays where the service's dependencies fail.
        steps: Ids = (self.draft.add(create, (*after, *made, *needed), replaced.reason),)
        if old.state in LIVE:
            steps = self._stop(old, steps, replaced.reason)
        remove = RemoveContainer(
            service=service, container=old.id, name=old.name, volumes=self.scope.renew_volumes, force=True
        )
        steps = (self.draft.add(remove, steps, replaced.reason),)
        rename = RenameContainer(service=service, container=new, name=replaced.name)
        return self._started(wanted, new, replaced.name, (self.draft.add(rename, steps),), ())

    def _roll(self, wanted: Wanted, rolled: list[Replaced], settled: dict[int, Ids], after: Ids) -> list[Replica]:
        service, scope = wanted.service, self.scope
        slots = []
        for replaced in rolled:
            old = replaced.container
            temporary = temporary_name(old.id, replaced.name)
            create = self._creation(wanted, temporary, old.number, old.id)
            slots.append(Slot(old=old.id, name=old.name, final=replaced.name, create=create))
        first = start_first(
            wanted, [replaced.container for replaced in rolled], self.draft.warn, keeps=not scope.renew_volumes
        )
        update, rollback = policy_of(service)
        action = RollService(
            service=service.name,
            slots=tuple(slots),
            start_first=first,
            update=update,
            rollback=rollback,
            stop_seconds=scope.timeout,
            wait_seconds=scope.wait_timeout,
        )
        before = (step for replaced in rolled for step in settled.get(replaced.container.number, ()))
        step = self.draft.add(action, (*before, *after), rolled[0].reason)
        self._stops.update((replaced.container.id, step) for replaced in rolled)
        return [Replica(f"new:{slot.create.name}", slot.final, (step,), fresh=True, healthy=True) for slot in slots]
