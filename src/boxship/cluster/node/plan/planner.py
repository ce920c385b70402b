"""A pod's containers as requests to the runtime: everything that their fields say, joined. Implements `Planner`.

It reads config maps, secrets, services and runtime classes through what it is given, and changes nothing but the
pod's own folder: the file for a termination message, the places of subPaths.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from boxship.cluster.node.plan import amounts, mounting, naming, sandboxing, security
from boxship.cluster.node.plan.environment import Gets, Reading
from boxship.cluster.node.plan.expanding import expand
from boxship.cluster.node.plan.facts import NodeFacts, container_named, termination_file
from boxship.cluster.node.plan.services import service_variables
from boxship.cluster.node.planning import Mounted, NotPossible
from boxship.cluster.node.runtime import ContainerRequest, ImageStatus, Sandbox, SandboxSpec
from boxship.cluster.node.volumes.mounts import Mounts
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache
from boxship.errors import BoxshipError
from boxship.spec.container import ContainerSpec, MountRequest, Resources

NOT_NOW = "CreateContainerConfigError"
FILE_LIMIT = 1 << 20  # bytes of a file of variables
MESSAGE_BYTES = 4096
PROFILE_LIMIT = 1 << 20  # bytes of a seccomp profile


class Images(Protocol):
    """A part of `Runtime`."""

    async def image(self, reference: str) -> ImageStatus | None: ...


class PodPlanner:
    """`services` keeps `services.essential`, `classes` the runtime classes' handlers. `profiles` is the folder of the
    node's seccomp profiles."""

    def __init__(
        self, gets: Gets, services: Cache, classes: Cache, *, images: Images, mounts: Mounts, facts: NodeFacts
    ) -> None:
        self._gets = gets
        self._services = services
        self._classes = classes
        self._images = images
        self._mounts = mounts
        self._facts = facts

    def sandbox(self, pod: Object) -> SandboxSpec:
        try:
            host = naming.parse_resolv(self._facts.resolv_conf.read_text(errors="replace"))
        except OSError:
            host = naming.Resolver()
        return sandboxing.sandbox_of(pod, self._facts, host, self._handler(pod))

    def resources(self, pod: Object, name: str) -> Resources:
        """Of one container, to change them while it runs."""
        return amounts.container_resources(pod, container_named(pod, name))

    async def message(self, pod: Object, name: str, attempt: int) -> bytes:
        """What a run of a container left as its termination message, its beginning."""
        file = termination_file(self._facts.root, pod["metadata"]["uid"], name, attempt)
        return await asyncio.to_thread(_beginning, file)

    async def container(
        self, pod: Object, name: str, *, attempt: int, sandbox: Sandbox, volumes: Mapping[str, Mounted], image_id: str
    ) -> ContainerRequest:
        container = container_named(pod, name)
        variables = await self._variables(pod, container, sandbox, volumes)
        rights = security.security_of(pod, container, await self._image_user(image_id))
        options = rights.options
        if rights.profile:
            options = (*options, await self._profile(rights.profile))
        mounts = await mounting.mounts_of(pod, container, volumes, variables, mounts=self._mounts, facts=self._facts)
        try:
            message = await asyncio.to_thread(self._message_file, pod, container, attempt)
        except OSError as error:
            raise NotPossible(NOT_NOW, f"cannot make the file for its termination message: {error}") from error
        target = container.get("targetContainerName")
        spec = ContainerSpec(
            image=container.get("image") or image_id,
            entrypoint=_expanded(container.get("command"), variables),
            command=_expanded(container.get("args"), variables),
            environment=tuple(f"{key}={text}" for key, text in variables.items()),
            working_directory=container.get("workingDir") or "",
            user=rights.user,
            groups=rights.groups,
            groups_policy=rights.groups_policy,
            tty=bool(container.get("tty")),
            open_stdin=bool(container.get("stdin")),
            stdin_once=bool(container.get("stdinOnce")),
            init=False,
            runtime=sandbox.spec.runtime,
            stop_signal=(container.get("lifecycle") or {}).get("stopSignal") or "",
            labels=sandboxing.labels_of(pod, name),
            pid_mode=f"target:{target}" if target else "",
            mounts=(*mounts, *_message_mount(container, message, mounts)),
            read_only_rootfs=rights.read_only,
            privileged=rights.privileged,
            capabilities_add=rights.add,
            capabilities_drop=rights.drop,
            security_options=options,
            devices=mounting.devices_of(container, volumes),
            oom_score_adjustment=amounts.oom_score(pod, container, self._facts.memory_capacity),
            masked_paths=() if rights.unmasked else None,
            read_only_paths=() if rights.unmasked else None,
            resources=amounts.container_resources(pod, container),
        )
        return ContainerRequest(
            uid=pod["metadata"]["uid"],
            name=name,
            attempt=attempt,
            image_id=image_id,
            hash=hash_of(container),
            spec=spec,
        )

    async def _variables(
        self, pod: Object, container: Object, sandbox: Sandbox, volumes: Mapping[str, Mounted]
    ) -> dict[str, str]:
        await self._services.ready()
        told = service_variables(
            self._services.items(),
            pod["metadata"]["namespace"],
            all=pod["spec"].get("enableServiceLinks") is not False,
        )

        async def read_file(volume: str, path: str) -> str | None:
            found = volumes.get(volume)
            if found is None:
                return None
            data = await asyncio.to_thread(self._mounts.read, Path(found.path), path, FILE_LIMIT)
            return None if data is None else data.decode(errors="replace")

        reading = Reading(
            self._gets,
            pod,
            container,
            facts=self._facts,
            addresses=self._facts.addresses if sandbox.spec.host_network else sandbox.addresses,
            services=told,
            read_file=read_file,
        )
        return await reading.variables()

    def _handler(self, pod: Object) -> str:
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return ""
        found = self._classes.get(("", name))
        if found is None:
            why = f'failed to get sandbox runtime: runtimeclass.node.k8s.io "{name}" not found'
            raise NotPossible("FailedCreatePodSandBox", why)
        return str(found)

    async def _image_user(self, image_id: str) -> str:
        found = await self._images.image(image_id)
        return found.user if found is not None else ""

    async def _profile(self, name: str) -> str:
        folder = self._facts.root.parent / "seccomp"
        try:
            data = await asyncio.to_thread(self._mounts.read, folder, name, PROFILE_LIMIT)
        except BoxshipError:
            data = None
        if data is None:
            raise NotPossible("CreateContainerError", f"cannot load seccomp profile {folder / name}: no such file")
        return f"seccomp={data.decode(errors='replace')}"

    def _message_file(self, pod: Object, container: Mapping[str, Any], attempt: int) -> Path:
        path = termination_file(self._facts.root, pod["metadata"]["uid"], container["name"], attempt)
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        path.touch()
        path.chmod(0o666)  # whoever the container runs as
        return path


def handler_of(runtime_class: Object) -> str:
    """What is kept of a runtime class."""
    return str(runtime_class.get("handler") or "")


def hash_of(container: Mapping[str, Any]) -> str:
    """A container whose hash changes is replaced: by the original's rule only its name and image decide."""
    text = msgspec.json.encode([container["name"], container.get("image") or ""])
    return hashlib.sha256(text).hexdigest()[:16]


def _expanded(words: list[str] | None, variables: Mapping[str, str]) -> tuple[str, ...] | None:
    return tuple(expand(word, variables) for word in words) if words else None


def _message_mount(container: Mapping[str, Any], file: Path, taken: list[MountRequest]) -> tuple[MountRequest, ...]:
    path = mounting.absolute(container.get("terminationMessagePath") or "/dev/termination-log")
    if any(mount.target == path for mount in taken):
        return ()
    return (MountRequest(kind="bind", target=path, source=str(file)),)


def _beginning(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MESSAGE_BYTES)
    except OSError:
        return b""
