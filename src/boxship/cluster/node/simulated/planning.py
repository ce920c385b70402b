"""The Planner and the PodVolumes of a simulated machine: only what a script needs. A volume of a config map whose name
begins with "missing" is not to be had."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from boxship.cluster.node.life.parts import container_named
from boxship.cluster.node.planning import Mounted, NotPossible, VolumeUse
from boxship.cluster.node.runtime import ContainerRequest, Sandbox, SandboxSpec
from boxship.cluster.objects import Object, quantity
from boxship.spec.container import ContainerSpec, Resources


class SimulatedPlanner:
    """Implements planning.Planner."""

    def sandbox(self, pod: Object) -> SandboxSpec:
        metadata = pod["metadata"]
        return SandboxSpec(uid=metadata["uid"], namespace=metadata.get("namespace", ""), name=metadata["name"])

    async def container(
        self, pod: Object, name: str, *, attempt: int, sandbox: Sandbox, volumes: Mapping[str, Mounted], image_id: str
    ) -> ContainerRequest:
        container = container_named(pod, name)
        spec = ContainerSpec(
            image=container["image"],
            entrypoint=tuple(container.get("command") or ()),
            command=tuple(container.get("args") or ()),
            resources=self.resources(pod, name),
        )
        return ContainerRequest(uid=pod["metadata"]["uid"], name=name, attempt=attempt, image_id=image_id, spec=spec)

    def resources(self, pod: Object, name: str) -> Resources:
        limits = (container_named(pod, name).get("resources") or {}).get("limits") or {}
        return Resources(
            memory=quantity.parse(limits.get("memory") or 0).value,
            nano_cpus=quantity.parse(limits.get("cpu") or 0).nanos,
        )

    async def message(self, pod: Object, name: str, attempt: int) -> bytes:
        return b""


class SimulatedVolumes:
    """Implements planning.PodVolumes. `pause`: how long each call takes."""

    def __init__(self, pause: Callable[[], float] = lambda: 0.0) -> None:
        self._pause = pause
        self._known: set[str] = set()

    async def prepare(self, pod: Object) -> Mapping[str, Mounted]:
        found = {}
        for volume in pod["spec"].get("volumes") or ():
            source = (volume.get("configMap") or {}).get("name", "")
            if source.startswith("missing"):
                message = f'MountVolume.SetUp failed for volume "{volume["name"]}" : configmap "{source}" not found'
                raise NotPossible("FailedMount", message)
            found[volume["name"]] = Mounted("folder", f"/volumes/{volume['name']}")
        self._known.add(pod["metadata"]["uid"])
        await asyncio.sleep(self._pause())
        return found

    async def release(self, uid: str) -> None:
        await asyncio.sleep(self._pause())
        self._known.discard(uid)

    async def usage(self, uid: str) -> Sequence[VolumeUse]:
        return ()

    def known(self) -> Collection[str]:
        return set(self._known)
