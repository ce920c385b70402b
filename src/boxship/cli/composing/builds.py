"""A service's `build` as an order for the daemon, and the talk while it is carried out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from boxship import __version__
from boxship.cli.building import options as words
from boxship.cli.building.conversation import BuildError, Conversation
from boxship.cli.building.order import Order, credentials, encoded
from boxship.cli.building.place import Folder, Place, find_place, ignore_lines, is_address, named_context
from boxship.cli.building.steps import Steps
from boxship.cli.call import Failure
from boxship.cli.composing.creation_limits import ulimit
from boxship.cli.composing.localfiles import LocalFiles
from boxship.cli.composing.materials import material_content
from boxship.cli.composing.reach import Reach
from boxship.cli.text import visible
from boxship.compose.model import Project, Service
from boxship.compose.parts import Build
from boxship.compose.planning.actions import BuildImage
from boxship.compose.planning.naming import image_of
from boxship.compose.planning.observed import LABEL_PROJECT, LABEL_SERVICE, LABEL_VERSION
from boxship.compose.running.host import News
from boxship.errors import BoxshipError, Invalid, Unsupported

Object = dict[str, Any]
Tell = Callable[[News], None]
Watch = Callable[[str, str, Object], None]  # a service's name, the kind of event, its fields
SERVICE = "service:"


class BuildLimits(Struct, frozen=True):
    """What `build --memory` says for all builds, and whether Dockerfiles are only checked."""

    memory: int = 0
    check: bool = False


class Builder:
    """Builds images of services. `watch` sees every event, for those who show whole logs; `findings` gets what
    `--check` finds."""

    def __init__(
        self, reach: Reach, watch: Watch | None, limits: BuildLimits, findings: list[tuple[str, Object]]
    ) -> None:
        self._reach = reach
        self._watch = watch
        self._limits = limits
        self._findings = findings

    def build(self, project: Project, action: BuildImage, tell: Tell) -> str:
        """The image's id. Raises Failure with what the failed step said."""
        service = project.services.get(action.service) or project.disabled[action.service]
        order = service_order(project, service, action.image, self._reach, self._limits)
        steps = Steps(lambda: 0.0)
        built: Object = {}

        def take(kind: str, event: Object, raw: bytes) -> None:
            if kind == "Built":
                built.update(event)
            elif kind == "Noticed":
                self._findings.append((action.service, event["finding"]))
            steps.take(kind, event)
            if self._watch:
                self._watch(action.service, kind, event)
            elif kind == "StepStarted":
                done = sum(step.state not in ("waiting", "running") for step in steps.all.values())
                tell(News(visible(str(event.get("name") or "")), done, len(steps.all)))

        try:
            Conversation(self._reach.daemon, order, {}, take, None).run()
        except BuildError as error:
            raise Failure(_reason(action.service, steps, error.fields)) from None
        return str(built.get("image") or "")


def _reason(service: str, steps: Steps, fields: Object) -> str:
    """The message, with what the step said last and where it stands in the Dockerfile."""
    message = str(fields.get("message") or "")
    parts = [message if message.startswith("cannot ") else f"cannot build {service}: {message}"]
    step = steps.all.get(fields.get("step") or "")
    if step is not None and step.tail:
        parts.append(f" > {visible(step.name)}:")
        parts += [f"   {visible(line)}" for line in step.tail]
    if fields.get("excerpt"):
        parts.append(visible(str(fields["excerpt"])).rstrip("\n"))
    return "\n".join(parts)


def service_order(project: Project, service: Service, image: str, reach: Reach, limits: BuildLimits) -> Order:
    """Everything that the daemon gets for one service. Raises before anything is sent."""
    build = service.build
    if build is None:
        raise Invalid(f"cannot build {service.name}: it has no build section")
    refuse(service.name, build)
    environment: Mapping[str, str] = {**reach.environment, **project.environment}
    try:
        order = Order(_place(service.name, build))
    except BoxshipError as error:
        raise Failure(project.placed(f"services.{service.name}.build", str(error))) from None
    agents = (f"{name}={path}" if path else name for name, path in build.ssh.items())
    order.agents = dict(words.agent(word, environment) for word in agents)
    order.check = limits.check
    if order.place.context is not None:
        order.folders[1] = order.place.context
    arguments = {name: environment.get(name) if value is None else value for name, value in build.args.items()}
    own = {LABEL_PROJECT: project.name, LABEL_SERVICE: service.name, LABEL_VERSION: __version__}
    platforms = build.platforms or ((service.platform,) if service.platform else ())
    order.body = {
        "dockerfile": order.place.dockerfile,
        "remote": order.place.remote,
        "contexts": _contexts(project, build, order),
        "tags": list(dict.fromkeys((image, *build.tags))),
        "target": build.target,
        "arguments": arguments,
        "labels": {**own, **build.labels},
        "platform": platforms[0] if platforms else "",
        "no_cache": build.no_cache,
        "no_cache_stages": list(build.no_cache_filter),
        "pull": build.pull,
        "network": build.network or "default",
        "extra_hosts": [word.replace("=", ":", 1) for word in build.extra_hosts],
        "secrets": _secrets(project, build),
        "agents": list(order.agents),
        "insecure": build.privileged or "security.insecure" in build.entitlements,
        "host_network": build.network == "host" or "network.host" in build.entitlements,
        "epoch": words.epoch_of(arguments, environment),
        "outputs": [words.OutputPlan("image", {}).order()],
        "cache_from": [words.cache_end(word, "cache-from") for word in build.cache_from],
        "cache_to": [words.cache_end(word, "cache-to") for word in build.cache_to],
        "credentials": credentials(reach.call),
        "check": limits.check,
        "resources": {"memory": limits.memory} if limits.memory else {},
        "ulimits": [_ulimit(name, value) for name, value in build.ulimits.items()],
        "shm_size": build.shm_size,
    }
    if order.place.context is not None:
        order.body["context"] = order.place.context.order()
    if order.place.text is not None:
        order.body["dockerfile_text"] = encoded(order.place.text)
    return order


def refuse(service: str, build: Build) -> None:
    refused = {
        "platforms with several platforms": len(build.platforms) > 1,
        f"isolation {build.isolation}": build.isolation not in ("", "default"),
        "provenance": build.provenance.lower() not in ("", "false", "0"),
        "sbom": build.sbom.lower() not in ("", "false", "0"),
    }
    refused |= {f"entitlements {name}": name not in words.ENTITLEMENTS for name in build.entitlements}
    for name, asked in refused.items():
        if asked:
            raise Unsupported(f"unsupported: services.{service}.build.{name}")


def _place(service: str, build: Build) -> Place:
    if is_address(build.context):
        if build.dockerfile_inline:
            return Place(remote=build.context, dockerfile="Dockerfile", text=build.dockerfile_inline.encode())
        return Place(remote=build.context, dockerfile=build.dockerfile or "Dockerfile")
    if build.dockerfile_inline:
        if not os.path.isdir(build.context):
            raise Failure(f"cannot build {service}: {build.context}: no such directory")
        found = _folder(build.context)
        return Place(found, dockerfile="Dockerfile", text=build.dockerfile_inline.encode())
    file = build.dockerfile
    if file and not is_address(file):
        file = os.path.join(build.context, file)
    return find_place(build.context, file, 1)


def _folder(context: str) -> Folder:
    """A folder whose Dockerfile stands elsewhere."""
    root = os.path.realpath(context)
    return Folder(root, 1, ignore_lines(root, ""))


def _contexts(project: Project, build: Build, order: Order) -> Object:
    found: Object = {}
    for number, (name, value) in enumerate(build.additional_contexts.items(), 2):
        if value.startswith(SERVICE):
            other = value.removeprefix(SERVICE)
            service = project.services.get(other) or project.disabled.get(other)
            if service is None:
                raise Invalid(f"cannot use build context {name}: no such service: {other}")
            found[name.lower()] = f"docker-image://{image_of(project, service)}"
            continue
        key, context = named_context(f"{name}={value}", number)
        if isinstance(context, Folder):
            order.folders[number] = context
            found[key] = context.order()
        else:
            found[key] = context
    return found


def _secrets(project: Project, build: Build) -> dict[str, str]:
    found = {}
    for grant in build.secrets:
        material = project.secrets.get(grant.source)
        if material is None:
            raise Invalid(f"cannot use the build secret {grant.source}: undefined secret")
        if material.external:
            raise Unsupported(f"unsupported: external secret {grant.source}: give it a file")
        if material.file:
            content = LocalFiles().read(material.file)
        else:
            content = material_content(project, "secret", grant.source, material)
        if len(content) > words.SECRET_BYTES:
            raise Invalid(f"cannot use secret {grant.source}: longer than {words.SECRET_BYTES} bytes")
        found[grant.target or grant.source] = encoded(content)
    return found


def _ulimit(name: str, value: Any) -> Object:
    found = ulimit(name, value)
    return {"name": found["Name"].lower(), "soft": found["Soft"], "hard": found["Hard"]}
