"""What the node agent needs of a machine that runs containers: one Protocol, and the values that go over it.

Contract: the words of the Container Runtime Interface (kubernetes/cri-api, runtime/v1) where they fit. A *sandbox* is
what a pod's containers share: network and IPC namespaces, host name, cgroup. Times are nanoseconds since the epoch, 0
for never; durations seconds; sizes bytes. What is asked twice is done once: each call may be repeated after a crash.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from boxship.engine.attachments import Streams
from boxship.spec import reference as references
from boxship.spec.container import ContainerSpec, PortRequest, Resources

CREATED, RUNNING, EXITED = "created", "running", "exited"  # a container's phases


class SandboxSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a pod's containers share. `network` is the engine's network that the pod joins."""

    uid: str
    namespace: str
    name: str
    attempt: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    hostname: str = ""
    domainname: str = ""
    network: str = ""
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_processes: bool = False  # one process namespace for all containers
    own_users: bool = False  # root in its containers is nobody outside
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()  # "name:address"
    sysctls: dict[str, str] = {}
    ports: tuple[PortRequest, ...] = ()  # host ports
    cgroup: str = ""  # the pod's own, below the hierarchy's root: "boxship-pods-INSTANCE/burstable/podUID"
    resources: Resources = Resources()  # of the pod's cgroup
    runtime: str = ""  # a runtime class's handler


class Sandbox(msgspec.Struct, frozen=True):
    """A sandbox that is there. One whose namespaces or interfaces are gone is not `ready`: its pod needs a new one."""

    id: str
    spec: SandboxSpec
    created_at: int
    ready: bool = True
    addresses: tuple[str, ...] = ()


class ContainerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One container of a pod. The runtime puts into `spec` what the sandbox decides (namespaces, cgroup parent, log
    file); everything else is said there. `image_id` names an image that is there."""

    uid: str  # of the pod
    name: str
    attempt: int = 0
    image_id: str = ""
    hash: str = ""  # of the container's part of the pod, to see a change by; kept as a label
    spec: ContainerSpec


class ContainerStatus(msgspec.Struct, frozen=True):
    """A container as it is now. `reason` and `message` are the runtime's words for an end or a failed start, "" for
    none; `image` is the reference that it was asked for with, `image_id` "sha256:…"."""

    id: str
    uid: str
    name: str
    attempt: int
    phase: str
    created_at: int
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    signal: int = 0
    oom_killed: bool = False
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    hash: str = ""
    pid: int = 0
    log_path: str = ""
    resources: Resources = Resources()  # as they are in force


class ImageStatus(msgspec.Struct, frozen=True):
    """An image that is there. `user` is what its config says; `local` that no registry is known to have it: it was
    built, loaded or committed here, so there is nothing to pull anew; `nodes` are the names that came from another
    node, with that node."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()  # "repository@sha256:…"
    size: int = 0
    user: str = ""
    local: bool = False
    used_at: int = 0
    nodes: dict[str, str] = {}

    @property
    def names(self) -> set[str]:
        """Its tags in full."""
        return {str(references.parse(tag).with_default_tag()) for tag in self.tags}

    def is_local(self, name: str) -> bool:
        """Whether no registry is known to have it as `name`: what was built here and pushed under another name is
        still nobody's but ours under its own. An id or a digest is no name of ours."""
        if self.local or not self.digests:
            return self.local
        wanted = references.parse(name)
        if str(wanted.with_default_tag()) not in self.names:
            return False
        return all(references.parse(one).name != wanted.name for one in self.digests)


class Credentials(msgspec.Struct, frozen=True):
    username: str = ""
    password: str = ""
    token: str = ""


PULLS = 5  # from registries at once


class PulledImage(msgspec.Struct, frozen=True):
    """What a pull brought: with which of the credentials, None for nobody's; or from which other node.
    `waited`: seconds before its turn came."""

    image: ImageStatus
    credentials: Credentials | None = None
    node: str = ""
    waited: float = 0.0


class Usage(msgspec.Struct, frozen=True):
    """What something uses. `cpu` is nanoseconds of processor time so far; where that has a limit, `throttled` of so
    many `periods` were too short, by `throttled_time` nanoseconds in all."""

    time: int
    cpu: int = 0
    memory: int = 0  # all of it
    working_set: int = 0  # without what the kernel can drop at once
    rss: int = 0
    processes: int = 0
    disk: int = 0  # writable layer and logs
    inodes: int = 0
    received: int = 0
    sent: int = 0
    periods: int = 0
    throttled: int = 0
    throttled_time: int = 0


class PodUsage(msgspec.Struct, frozen=True):
    uid: str
    pod: Usage
    containers: dict[str, Usage]  # by the container's name


class MachineUsage(msgspec.Struct, frozen=True):
    """The whole machine, and the filesystem that images and containers lie on."""

    machine: Usage
    memory_capacity: int
    memory_available: int
    disk_capacity: int
    disk_available: int
    inodes: int
    inodes_free: int
    processes_limit: int
    processors: int = 0


class Runtime(Protocol):
    """Errors are kinds of `boxship.errors`; NotFound for ids that are not there, except where removing."""

    async def sandboxes(self, uid: str = "") -> Sequence[Sandbox]:
        """All that are there, or one pod's."""

    async def containers(self, uid: str = "") -> Sequence[ContainerStatus]:
        """All that are there, or one pod's: ended ones too, until they are removed."""

    def changes(self) -> AsyncIterator[str]:
        """The uid of each pod of which something began, ended or vanished by itself or by us, from now on."""

    async def create_sandbox(self, spec: SandboxSpec) -> Sandbox:
        """The pod's sandbox of that attempt; the one that is there already where it is ready."""

    async def update_sandbox(self, uid: str, resources: Resources) -> None:
        """Other limits of the pod's cgroup."""

    async def stop_sandbox(self, uid: str) -> None:
        """Of a pod that has ended, or before the next attempt: what still runs in it is killed, namespaces, addresses
        and host ports are given back. Ended containers and logs stay; it is not `ready` any more. None there is
        fine."""

    async def remove_sandbox(self, uid: str, *, logs: bool = False) -> None:
        """With all its containers, which are killed where they run; its logs stay, or with `logs` go, too: the pod is
        gone for good. None there is fine."""

    async def create(self, request: ContainerRequest) -> ContainerStatus: ...

    async def start(self, id: str) -> None: ...

    async def stop(self, id: str, *, grace: float, signal: str = "") -> None:
        """Ask it to end (`signal` "": its own stop signal), kill it after `grace`; returns when it has ended."""

    async def remove(self, id: str) -> None:
        """An ended one; with its log file."""

    async def update(self, id: str, resources: Resources) -> None:
        """Other limits while it runs."""

    async def run(self, id: str, command: Sequence[str], *, timeout: float) -> tuple[int, bytes]:
        """A further process in a running container: exit code and the first 16 KiB of both its outputs. Timeout."""

    async def exec(self, id: str, command: Sequence[str], *, tty: bool, stdin: bool) -> tuple[str, Streams]:
        """A further process with its streams open; its id is for `resize` and `exit_code`."""

    async def attach(self, id: str, *, stdin: bool) -> Streams: ...

    async def resize(self, id: str, rows: int, columns: int) -> None:
        """The terminal of a container, or of a process that `exec` began."""

    async def exit_code(self, exec_id: str) -> int:
        """Of a process that `exec` began, as soon as it has ended."""

    async def connect(self, uid: str, port: int) -> tuple[AsyncIterator[bytes], "Sink"]:
        """A TCP connection to 127.0.0.1:port as the pod's containers see it. Unavailable where nobody listens."""

    async def image(self, reference: str) -> ImageStatus | None:
        """By name, tag, digest or id; None: it is not here."""

    async def pull(self, reference: str, credentials: Sequence[Credentials]) -> PulledImage:
        """From its registry; each of the credentials is tried, then none. A name of no registry: from another node.
        PULLS from registries at once; what comes from nodes has turns of its own."""

    async def is_elsewhere(self, image: ImageStatus) -> bool:
        """Whether the other nodes that gave it have it still."""

    async def images(self) -> Sequence[ImageStatus]: ...

    async def remove_image(self, id: str) -> None:
        """Raises Conflict where a container uses it."""

    async def mount_image(self, uid: str, reference: str) -> str:
        """The folder with the files of an image that is here, read-only, for a pod: until `unmount_images`, or until
        the next start of the machine's engine; then it is asked for again. Raises NotFound."""

    async def unmount_images(self, uid: str) -> None:
        """The pod is shown no image any longer. None there is fine."""

    async def usage(self, *, fresh: bool = False) -> tuple[MachineUsage, Sequence[PodUsage]]:
        """What was written to disks may have been counted half a minute ago; `fresh`: now."""


class Sink(Protocol):
    """The way to a connection's other end."""

    async def write(self, data: bytes) -> None:
        """At the pace of the other end. Raises Canceled or OSError when it is away."""

    async def end(self) -> None:
        """Nothing more is sent; what comes back goes on."""

    async def close(self) -> None:
        """Both ways. May be called twice."""
