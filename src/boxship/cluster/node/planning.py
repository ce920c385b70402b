"""From a pod's JSON to what the runtime is asked for: the seam between what a pod's life needs and what its fields say.

`Planner` is pure apart from reading config maps, secrets and fields through the API; `PodVolumes` makes folders.
Both are called again for every container start; what is there already stays.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from boxship.cluster.node.runtime import ContainerRequest, Sandbox, SandboxSpec
from boxship.cluster.objects import Object
from boxship.spec.container import Resources


class NotPossible(Exception):
    """What a pod asks for cannot be had now. `reason` is the original's word for status and event
    ("CreateContainerConfigError", "FailedMount", "InvalidImageName"…); `message` names the thing and why.
    `final`: trying again cannot help, the pod fails. `image`: the one that is not to be had."""

    def __init__(self, reason: str, message: str, *, final: bool = False, image: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.final = final
        self.image = image


class Mounted(msgspec.Struct, frozen=True):
    """A pod's volume as it lies on this machine. `kind` is "folder" (bind it), "memory" (a tmpfs that is made at
    `path`), "image" (`path` is a read-only tree), "file" or "device"."""

    kind: str
    path: str
    read_only: bool = False
    owner: int = 0  # whose files these are already, where the pod has users of its own; 0: they are shown so


class VolumeUse(msgspec.Struct, frozen=True):
    """How full a pod's emptyDir on the disk is. `limit` in bytes, None for none."""

    name: str
    used: int
    inodes: int
    limit: int | None = None


class VolumeFigures(msgspec.Struct, frozen=True):
    """How full a volume is, in bytes and inodes, and what its filesystem has. `claim` is the name of the claim that it
    is, "" for none; `ephemeral`: what lies there counts as the pod's own on the disk."""

    name: str
    claim: str
    ephemeral: bool
    used: int
    capacity: int
    available: int
    inodes_used: int
    inodes: int
    inodes_free: int


class PodVolumes(Protocol):
    async def prepare(self, pod: Object) -> Mapping[str, Mounted]:
        """All volumes of a pod by their names. Raises NotPossible("FailedMount", …) where one is not to be had yet."""

    async def release(self, uid: str) -> None:
        """Take everything away that was made for a pod. None there is fine."""

    async def usage(self, uid: str) -> Sequence[VolumeUse]:
        """Of the pod's emptyDirs that take room on the disk."""

    def known(self) -> Collection[str]:
        """The uids of the pods for which something is there; after a restart, too."""


class Planner(Protocol):
    def sandbox(self, pod: Object) -> SandboxSpec: ...

    async def container(
        self, pod: Object, name: str, *, attempt: int, sandbox: Sandbox, volumes: Mapping[str, Mounted], image_id: str
    ) -> ContainerRequest:
        """`name` is one of the pod's containers, init containers or ephemeral containers. Raises NotPossible."""

    def resources(self, pod: Object, name: str) -> Resources:
        """What `container` gives one of the pod's containers."""

    async def message(self, pod: Object, name: str, attempt: int) -> bytes:
        """What that run of a container wrote to its terminationMessagePath: the first 4096 bytes, b"" for nothing."""
