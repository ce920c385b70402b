"""What the flags of `build` change in the model, and how logs of builds are shown."""

from __future__ import annotations

import threading
import time

from msgspec import structs

from boxship.cli.building.options import build_arguments
from boxship.cli.building.plain import PlainShow
from boxship.cli.building.steps import Steps
from boxship.cli.call import Call
from boxship.cli.composing.builds import Watch
from boxship.cli.composing.opening import Opening
from boxship.cli.daemon import Object
from boxship.cli.flags import Options
from boxship.compose.model import Project, Service
from boxship.compose.parts import Build
from boxship.errors import Unsupported


def refuse_flags(options: Options) -> None:
    """What there is not."""
    if options.text("builder"):
        raise Unsupported("unsupported: --builder: the daemon builds")
    if options.on("print"):
        raise Unsupported("unsupported: --print")
    for flag in ("provenance", "sbom"):
        if options.text(flag).lower() not in ("", "false", "0"):
            raise Unsupported(f"unsupported: --{flag}")


def change_builds(project: Project, call: Call) -> Project:
    """The project with what flags say about each build."""
    arguments = build_arguments(call.options.texts("build-arg"), {**call.environment, **project.environment})

    def changed(build: Build) -> Build:
        agents = {name: path for word in call.options.texts("ssh") for name, _, path in [word.partition("=")]}
        return structs.replace(
            build,
            args={**build.args, **arguments},
            ssh={**build.ssh, **agents},
            no_cache=build.no_cache or call.options.on("no-cache"),
            pull=build.pull or call.options.on("pull"),
        )

    def of(services: dict[str, Service]) -> dict[str, Service]:
        return {
            name: structs.replace(service, build=changed(service.build)) if service.build else service
            for name, service in services.items()
        }

    return structs.replace(project, services=of(dict(project.services)), disabled=of(dict(project.disabled)))


def watcher(opening: Opening, *, quiet: bool = False) -> Watch | None:
    """Whole logs where progress is plain: each line with its service. The table shows steps, and needs none."""
    if quiet or opening.settings.way != "plain":
        return None
    shows: dict[str, PlainShow] = {}
    lock = threading.Lock()

    def watch(service: str, kind: str, event: Object) -> None:
        with lock:
            show(service, kind, event)

    def show(service: str, kind: str, event: Object) -> None:
        if service not in shows:

            def write(text: str) -> None:
                lines = text.splitlines()
                opening.screen.write("".join(f" {service}  {line}\n" if line else "\n" for line in lines))

            shows[service] = PlainShow(Steps(time.monotonic), write)
        shows[service].take(kind, event)

    return watch
