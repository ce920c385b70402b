"""What a user asks a container to be: the values that the engine, the runtime, the network and the volumes speak about.

They are Boxship's own vocabulary, not Docker's JSON: each door translates. Sizes are bytes, durations nanoseconds
unless a field's name says otherwise. `None` or an empty value means "not asked for".
"""

import msgspec

SECOND = 1_000_000_000  # nanoseconds


class Ulimit(msgspec.Struct, frozen=True):
    """A resource limit by its lower-case name without RLIMIT_ ("nofile"); -1 means unlimited."""

    name: str
    soft: int
    hard: int


class DeviceMapping(msgspec.Struct, frozen=True):
    """A host device node or folder of nodes offered inside the container; permissions of "rwm"."""

    host_path: str
    container_path: str
    permissions: str = "rwm"


class ThrottleRate(msgspec.Struct, frozen=True):
    """A limit on one block device by its path: bytes or operations a second, or a weight."""

    path: str
    rate: int


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """Limits of a container. 0 or "" leaves the kernel's default; -1 lifts a limit where that is said."""

    memory: int = 0
    memory_swap: int = 0  # memory plus swap; -1: no limit on swap
    memory_reservation: int = 0
    memory_swappiness: int | None = None  # percent
    oom_kill_disable: bool = False
    oom_group: bool = False  # where memory is short, all processes end at once; on v2 alone
    nano_cpus: int = 0  # billionths of a processor
    cpu_shares: int = 0
    cpu_period: int = 0  # microseconds
    cpu_quota: int = 0  # microseconds
    cpu_realtime_period: int = 0  # microseconds
    cpu_realtime_runtime: int = 0  # microseconds
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0  # 0 or -1: none
    blkio_weight: int = 0
    blkio_weight_device: tuple[ThrottleRate, ...] = ()
    blkio_read_bps: tuple[ThrottleRate, ...] = ()
    blkio_write_bps: tuple[ThrottleRate, ...] = ()
    blkio_read_iops: tuple[ThrottleRate, ...] = ()
    blkio_write_iops: tuple[ThrottleRate, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()


class MountRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One mount that the user asked for. `kind` is "bind", "volume" or "tmpfs"; `origin` says which option named it
    ("binds", "mounts", "tmpfs", "image" or "volumes-from"), so that a door can give it back as it came."""

    kind: str
    target: str
    source: str = ""  # host path for bind, volume name for volume; "" means an anonymous volume
    read_only: bool = False
    propagation: str = ""
    no_copy: bool = False  # volume: do not fill from the image
    create_source: bool = False  # bind: make a missing host folder
    non_recursive: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False
    subpath: str = ""
    owned: bool = False  # bind: for a pod with users of its own, whose files these are already
    driver: str = ""
    driver_options: dict[str, str] = {}
    labels: dict[str, str] = {}
    tmpfs_size: int = 0
    tmpfs_mode: int = 0
    tmpfs_options: str = ""  # the raw option string of --tmpfs
    origin: str = "mounts"
    text: str = ""  # the option as it was written, for "binds"


class PortRequest(msgspec.Struct, frozen=True):
    """Publish `container_port`/`protocol` ("tcp" | "udp" | "sctp") on a host address; host ports as the user wrote
    them: "" for any free one, "8080", or "8000-8010" for the first free one of a range."""

    container_port: int
    protocol: str = "tcp"
    host_address: str = ""
    host_port: str = ""


class PublishedPort(msgspec.Struct, frozen=True):
    """A port mapping that is in force."""

    container_port: int
    protocol: str
    host_address: str
    host_port: int


class EndpointRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a container wants to be joined to one network (given by name or id)."""

    network: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    mac_address: str = ""
    links: tuple[str, ...] = ()
    driver_options: dict[str, str] = {}
    gateway_priority: int = 0


class HealthCheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """A probe inside the container. `test` is ("CMD", …), ("CMD-SHELL", line) or ("NONE",); empty inherits the
    image's. Durations in nanoseconds, 0 for the default."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class RestartPolicy(msgspec.Struct, frozen=True):
    """`name` is "no", "always", "unless-stopped" or "on-failure"; `maximum_retries` counts for the last alone."""

    name: str = "no"
    maximum_retries: int = 0


class LogPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Log driver "json-file", "local" or "none" ("": the daemon's default), with its options as written."""

    driver: str = ""
    options: dict[str, str] = {}


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that a user may ask of a container, before the image's defaults are merged in."""

    image: str
    # the process
    entrypoint: tuple[str, ...] | None = None  # None: the image's; (): none, even if the image has one
    command: tuple[str, ...] | None = None
    environment: tuple[str, ...] = ()  # "K=V", or "K" to take away the image's K
    working_directory: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    groups_policy: str = ""  # "merge": the user's own too, also beside a given group; "strict": these alone
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    console_size: tuple[int, int] = (0, 0)  # rows, columns
    init: bool | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None  # seconds
    # who it is
    hostname: str = ""
    domainname: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    platform: str = ""
    exposed_ports: tuple[str, ...] = ()  # "80/tcp"
    shell: tuple[str, ...] = ()
    # namespaces
    network_mode: str = "default"  # default | bridge | none | host | container:ID | pod:UID | a network's name or id
    network_disabled: bool = False
    endpoints: tuple[EndpointRequest, ...] = ()
    endpoints_only: bool = False  # the endpoints alone say what is joined, not the mode: after a disconnect
    mac_address: str = ""
    ports: tuple[PortRequest, ...] = ()
    publish_all: bool = False
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()  # "name:address", address may be "host-gateway"
    links: tuple[str, ...] = ()
    ipc_mode: str = ""
    pid_mode: str = ""
    uts_mode: str = ""
    cgroupns_mode: str = ""
    userns_mode: str = ""
    # files
    mounts: tuple[MountRequest, ...] = ()
    volumes: tuple[str, ...] = ()  # anonymous volumes by target
    volumes_from: tuple[str, ...] = ()
    volume_driver: str = ""
    read_only_rootfs: bool = False
    shm_size: int = 0
    storage_options: dict[str, str] = {}
    # rights
    privileged: bool = False
    capabilities_add: tuple[str, ...] = ()
    capabilities_drop: tuple[str, ...] = ()
    security_options: tuple[str, ...] = ()
    devices: tuple[DeviceMapping, ...] = ()
    sysctls: dict[str, str] = {}
    ulimits: tuple[Ulimit, ...] = ()
    oom_score_adjustment: int = 0
    masked_paths: tuple[str, ...] | None = None
    read_only_paths: tuple[str, ...] | None = None
    # limits and life
    resources: Resources = Resources()
    cgroup_parent: str = ""
    restart: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    health: HealthCheck | None = None
    log: LogPolicy = LogPolicy()
    log_path: str = ""  # where the log lies, beside the container's own files where nothing is said
    runtime: str = ""
    container_id_file: str = ""


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network as the user asks for it. `subnets` are (subnet, ip range, gateway, auxiliary addresses)."""

    name: str
    driver: str = "bridge"
    subnets: tuple["Subnet", ...] = ()
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: str = ""
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    ipam_driver: str = "default"
    ipam_options: dict[str, str] = {}


class Subnet(msgspec.Struct, frozen=True, omit_defaults=True):
    """One address range of a network, in CIDR notation; `reserved` maps names to addresses never given out."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    reserved: dict[str, str] = {}
