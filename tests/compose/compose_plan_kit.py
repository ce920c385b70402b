"""Small projects, an engine in memory that has their images, and the verbs on both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compose_memory_host import MemoryHost, Onlooker
from msgspec import structs

from boxship.compose.model import Network, Project, Service, Volume
from boxship.compose.parts import Dependency, Deploy, Healthcheck, Mount, Port, UpdateConfig
from boxship.compose.planning.actions import Plan
from boxship.compose.planning.down import down
from boxship.compose.planning.naming import image_of
from boxship.compose.planning.observed import Observed
from boxship.compose.planning.options import DownOptions, UpOptions
from boxship.compose.planning.up import up
from boxship.compose.running.session import change, image_phases
from boxship.compose.running.view import Outcome

HEALTHCHECK = Healthcheck(test=("CMD", "true"))


def service(name: str, **fields: Any) -> Service:
    fields.setdefault("image", f"{name}:1")
    fields.setdefault("networks", {"default": None})
    return Service(name=name, **fields)


def needs(*names: str, condition: str = "service_started", **fields: Any) -> dict[str, Dependency]:
    return {name: Dependency(condition=condition, **fields) for name in names}


def named_volume(source: str, target: str = "/data") -> Mount:
    return Mount(type="volume", source=source, target=target)


def published(port: int) -> Port:
    return Port(target=80, published=str(port))


def updating(**fields: Any) -> Deploy:
    replicas = fields.pop("replicas", None)
    return Deploy(replicas=replicas, update_config=UpdateConfig(**fields))


def project(*services: Service, **fields: Any) -> Project:
    fields.setdefault("networks", {"default": Network(name="demo_default")})
    sources = {mount.source for one in services for mount in one.volumes if mount.source}
    fields.setdefault("volumes", {source: Volume(name=f"demo_{source}") for source in sorted(sources)})
    return Project(name="demo", directory="/src", services={one.name: one for one in services}, **fields)


def changed(of: Project, name: str, **fields: Any) -> Project:
    return structs.replace(of, services={**of.services, name: structs.replace(of.services[name], **fields)})


def host_for(*projects: Project) -> MemoryHost:
    """An engine that can pull every image that the projects name; an image's id is "id of NAME"."""
    host = MemoryHost()
    for one in projects:
        for every in (*one.services.values(), *one.disabled.values()):
            if every.build is None:
                host.remote[image_of(one, every)] = f"id of {image_of(one, every)}"
    return host


class Result:
    def __init__(self, outcome: Outcome, view: Onlooker) -> None:
        self.outcome, self.view = outcome, view
        self.code, self.reasons = outcome.code, [failure.reason for failure in outcome.failures]


def bring_up(host: MemoryHost, wanted: Project, parallel: int = 0, dry_run: bool = False, **options: Any) -> Result:
    asked = UpOptions(**options)
    return do(
        host,
        wanted,
        *image_phases(wanted, asked),
        lambda seen: up(wanted, seen, asked),
        parallel=parallel,
        dry_run=dry_run,
    )


def take_down(host: MemoryHost, wanted: Project, parallel: int = 0, **options: Any) -> Result:
    return do(host, wanted, lambda seen: down(wanted, seen, DownOptions(**options)), parallel=parallel)


def do(host: MemoryHost, wanted: Project, *phases: Callable[[Observed], Plan], **how: Any) -> Result:
    view = Onlooker()
    return Result(change(host, wanted, view, *phases, **how), view)


def acts(host: MemoryHost, since: int = 0) -> list[str]:
    """What was done, in words: "StartContainer demo-web-1"."""
    return [f"{type(action).__name__} {getattr(action, 'name', '')}".strip() for action in host.log[since:]]
