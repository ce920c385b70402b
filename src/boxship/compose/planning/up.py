"""`up`, `create`, `scale` and `run`: what is there becomes what the file says, with as few changes as possible."""

from __future__ import annotations

from msgspec import structs

from boxship.compose.hashing import service_hash
from boxship.compose.model import Project
from boxship.compose.planning.actions import (
    ConnectNetwork,
    CreateContainer,
    Plan,
)
from boxship.compose.planning.converging import Convergence, Scope
from boxship.compose.planning.down import remove
from boxship.compose.planning.drafting import Draft
from boxship.compose.planning.matching import DIVERGED, FORCE, NEVER, orphans
from boxship.compose.planning.naming import container_labels, image_of
from boxship.compose.planning.observed import Observed
from boxship.compose.planning.options import RunOptions, UpOptions
from boxship.compose.planning.resources import Resources, check, provide
from boxship.compose.planning.selecting import named, select
from boxship.errors import Invalid


def up(project: Project, observed: Observed, options: UpOptions) -> Plan:
    """Everything after the images are there. Raises Invalid, NotFound, Conflict or Unsupported before anything is
    touched."""
    chosen = select(project, options.services, dependencies=not options.no_deps)
    _refuse_contradictions(options)
    unknown = [name for name in options.scale if name not in {**project.services, **project.disabled}]
    if unknown:
        raise Invalid(f"no such service: {unknown[0]}")
    check(chosen, observed)
    draft = Draft()
    convergence = _converge(draft, project, chosen, observed, options)
    convergence.restart_dependents()
    if options.wait and not options.no_start:
        convergence.await_all(options.wait_timeout)
    return draft.plan()


def create(project: Project, observed: Observed, options: UpOptions) -> Plan:
    """As `up`, and nothing is started."""
    return up(project, observed, structs.replace(options, no_start=True, wait=False))


def scale(project: Project, observed: Observed, options: UpOptions) -> Plan:
    """Change how many containers services have."""
    names = tuple(options.scale)
    if not names:
        raise Invalid("no service to scale: SERVICE=REPLICAS is needed")
    return up(project, observed, structs.replace(options, services=names))


def run(project: Project, observed: Observed, options: RunOptions) -> Plan:
    """What the service depends on is brought up, and a container of it is made that runs once. It is not started: who
    asked for it attaches first."""
    chosen = select(project, (options.service,), dependencies=not options.no_deps)
    service = chosen.services[options.service]
    check(chosen, observed)
    draft = Draft()
    others = {name: other for name, other in chosen.services.items() if name != service.name}
    up_options = UpOptions(remove_orphans=options.remove_orphans, ignore_orphans=options.ignore_orphans)
    resources = provide(draft, chosen, observed)
    scope = Scope(
        project=structs.replace(chosen, services=others),
        whole=project,
        observed=observed,
        resources=resources,
        first=_orphans(draft, project, observed, up_options),
    )
    convergence = Convergence(draft, scope)
    convergence.run()
    after = (*convergence.made_after(service), *convergence.conditions(service))
    name = options.name or f"{project.name}-{service.name}-run-{options.slug}"
    image = image_of(project, service)
    create_one = CreateContainer(
        service=service.name,
        name=name,
        number=1,
        image=image,
        one_off=True,
        labels=container_labels(
            chosen, service, 1, observed.images.get(image, ""), service_hash(service), one_off=True
        ),
    )
    draft.add(create_one, after)
    return draft.plan()


def _refuse_contradictions(options: UpOptions) -> None:
    if options.force_recreate and options.no_recreate:
        raise Invalid("--force-recreate and --no-recreate are incompatible")
    if options.no_recreate and (options.always_recreate_deps or options.renew_anon_volumes):
        other = "--always-recreate-deps" if options.always_recreate_deps else "--renew-anon-volumes"
        raise Invalid(f"{other} and --no-recreate are incompatible")
    if options.build and options.no_build:
        raise Invalid("--build and --no-build are incompatible")
    if options.wait and options.no_start:
        raise Invalid("--wait and --no-start are incompatible")
    if any(count < 0 for count in options.scale.values()):
        raise Invalid("a service cannot be scaled below 0")


def _converge(draft: Draft, project: Project, chosen: Project, observed: Observed, options: UpOptions) -> Convergence:
    first = _orphans(draft, project, observed, options)
    resources = provide(draft, chosen, observed)
    recreate = NEVER if options.no_recreate else DIVERGED
    scope = Scope(
        project=chosen,
        whole=project,
        observed=observed,
        resources=resources,
        first=first,
        named=frozenset(named(project, options.services)),
        scale=dict(options.scale),
        recreate=FORCE if options.force_recreate or options.renew_anon_volumes else recreate,
        recreate_dependencies=FORCE if options.always_recreate_deps else recreate,
        renew_volumes=options.renew_anon_volumes,
        start=not options.no_start,
        timeout=options.timeout,
        wait_timeout=options.wait_timeout,
    )
    convergence = Convergence(draft, scope)
    convergence.run()
    _connect_others(draft, chosen, observed, resources)
    return convergence


def _orphans(draft: Draft, project: Project, observed: Observed, options: UpOptions) -> tuple[int, ...]:
    """Remove them or warn of them. The steps after which they are gone, and what they held (a port, a name) is free."""
    found = orphans(project, observed)
    if found and options.remove_orphans:
        return tuple(remove(draft, seen, (), options.timeout, "orphan") for seen in found)
    if found and not options.ignore_orphans:
        draft.warn(orphan_warning([seen.name for seen in found]))
    return ()


def orphan_warning(names: list[str]) -> str:
    """Docker's words."""
    return (
        f"Found orphan containers ([{' '.join(names)}]) for this project. If you removed or renamed this service in "
        "your compose file, you can run this command with the --remove-orphans flag to clean it up."
    )


def _connect_others(draft: Draft, chosen: Project, observed: Observed, resources: Resources) -> None:
    """Containers that take no part, but whose network was made again, are put back."""
    for key, name in resources.renewed.items():
        for seen in observed.containers:
            if name in seen.networks and (seen.service not in chosen.services or seen.one_off):
                action = ConnectNetwork(service=seen.service, container=seen.id, name=seen.name, network=name)
                draft.add(action, (resources.networks[key],), f"network {name} changed")
