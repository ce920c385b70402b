"""The engine's records: what it stores of a container or an exec, and what it hands to the doors. All are frozen."""

import enum

import msgspec

from boxship.spec.attachment import Endpoint
from boxship.spec.container import ContainerSpec, HealthCheck, PublishedPort, Resources
from boxship.spec.image import ExecutionConfig
from boxship.spec.users import UserMap


class Phase(enum.StrEnum):
    """Where a container is in its life. `engine.states` holds the table of moves."""

    CREATING = "creating"  # its parts are being made; taken back after a crash
    CREATED = "created"
    STARTING = "starting"  # taken back to created or exited after a crash, unless it runs by then
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"  # waits for its back-off
    STOPPING = "stopping"  # has been asked to end, still runs
    EXITED = "exited"
    REMOVING = "removing"  # finished after a crash
    DEAD = "dead"  # could not be removed whole; a later remove tries again


ALIVE = frozenset({Phase.RUNNING, Phase.PAUSED, Phase.STOPPING})


class ProcessHandle(msgspec.Struct, frozen=True):
    """Finds a process again after a restart: its host pid, and its start time in clock ticks (proc(5), stat, field 22),
    which tells it from a later process with the same pid. pid 0 means none."""

    pid: int = 0
    started: int = 0


class ProbeResult(msgspec.Struct, frozen=True):
    """One run of a health check. Times in nanoseconds since the epoch."""

    start: int
    end: int
    exit_code: int
    output: str


class Health(msgspec.Struct, frozen=True):
    """`status` is "starting", "healthy" or "unhealthy"; the last five probes, oldest first."""

    status: str = "starting"
    failing_streak: int = 0
    probes: tuple[ProbeResult, ...] = ()


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """What changes while a container lives. Times in nanoseconds since the epoch, 0 for never."""

    phase: Phase = Phase.CREATING
    process: ProcessHandle = ProcessHandle()
    monitor: ProcessHandle = ProcessHandle()  # conmon
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    restart_count: int = 0
    stopped_by_user: bool = False  # "unless-stopped" asks for it
    limits_before: Resources | None = None  # an update under way changes the kernel's limits from these to the spec's
    remove_volumes: bool = False  # a removal under way takes the anonymous volumes along
    health: Health | None = None
    opening: bool = False  # a group's member without a health check, whose published ports nobody listens at yet
    leaving: bool = False  # asked to end: its service group counts on it no longer
    drained: str = ""  # how the wait for its connections went, before its last end
    warnings: tuple[str, ...] = ()


class MountPoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """A resolved mount of a container, as inspect shows it; `source` is the host path."""

    kind: str
    target: str
    source: str = ""
    name: str = ""  # of the volume
    driver: str = ""
    mode: str = ""
    read_write: bool = True
    propagation: str = ""
    anonymous: bool = False
    options: tuple[str, ...] = ()  # mount options for the runtime
    subpath: str = ""  # of the volume
    origin: str = "mounts"


class Process(msgspec.Struct, frozen=True):
    """What runs, with the image's defaults merged in."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    working_directory: str
    user: str
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None


class Container(msgspec.Struct, frozen=True, omit_defaults=True):
    """A container's whole record, as stored. `config` is the image's config merged with the request."""

    id: str
    name: str  # without the slash
    created_at: int
    image_id: str  # "sha256:…", the digest of the image's config
    image_size: int  # bytes of the image's unpacked layers
    spec: ContainerSpec
    process: Process
    labels: dict[str, str]
    exposed_ports: tuple[str, ...]
    volumes: tuple[str, ...]  # targets declared by the image or with -v /target
    stop_signal: str
    platform: str
    runtime: str
    state: State = State()
    mounts: tuple[MountPoint, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    health: HealthCheck | None = None
    image_config: ExecutionConfig | None = None
    namespace: str = ""  # path of the network namespace
    log_path: str = ""
    resolv_conf_path: str = ""
    hostname_path: str = ""
    hosts_path: str = ""
    users: UserMap = UserMap()  # of its pod, where that has its own


class ExecSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A further process in a running container, as the user asks for it."""

    command: tuple[str, ...]
    environment: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""
    privileged: bool = False
    tty: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    console_size: tuple[int, int] = (0, 0)


class Exec(msgspec.Struct, frozen=True):
    """An exec's record. `exit_code` is None until it ended."""

    id: str
    container_id: str
    spec: ExecSpec
    created_at: int
    running: bool = False
    started: bool = False
    exit_code: int | None = None
    process: ProcessHandle = ProcessHandle()
    monitor: ProcessHandle = ProcessHandle()
    arguments: tuple[str, ...] = ()
    can_remove: bool = False


class Event(msgspec.Struct, frozen=True):
    """Something happened. `kind` is "container", "image", "network", "volume" or "daemon"; `time` in nanoseconds."""

    kind: str
    action: str
    actor: str  # the id
    attributes: dict[str, str]
    time: int
