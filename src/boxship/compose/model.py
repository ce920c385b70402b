"""The normalised model of a project: what `config` prints as JSON, as typed values.

Every short form is written out, every path is absolute, every name is final. Field names are those of the Compose
Specification; sizes are bytes, durations the specification's text ("1m30s"), times of day nowhere. Fields that were not
given have their default here and are left out when the model is printed. `x-` fields are kept in `extensions`.
It must never know where a single value came from: positions belong to `document`. Only `Project.places` says where what
the world may lack is declared.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import field

from boxship.compose.parts import (
    BlockIo,
    Build,
    Dependency,
    Deploy,
    Develop,
    Device,
    DeviceRequest,
    EnvFile,
    Grant,
    Healthcheck,
    Hook,
    Logging,
    Model,
    Mount,
    Pairs,
    Port,
    ServiceNetwork,
    Strings,
    Ulimit,
)


class Service(Model, frozen=True):
    """One service. `command` and `entrypoint` None mean the image's own; () means emptied. `environment` with None
    takes a variable away that the image sets. `depends_on` holds implied dependencies too (links, volumes_from,
    network_mode, ipc, pid). `networks` is empty only with `network_mode`."""

    name: str = ""
    annotations: Pairs = field(default_factory=dict)
    attach: bool = True
    blkio_config: BlockIo | None = None
    build: Build | None = None
    cap_add: Strings = ()
    cap_drop: Strings = ()
    cgroup: str = ""
    cgroup_parent: str = ""
    command: Strings | None = None
    configs: tuple[Grant, ...] = ()
    container_name: str = ""
    cpu_count: int = 0
    cpu_percent: float = 0.0
    cpu_period: int = 0  # microseconds
    cpu_quota: int = 0  # microseconds
    cpu_rt_period: int = 0  # microseconds
    cpu_rt_runtime: int = 0  # microseconds
    cpu_shares: int = 0
    cpus: float = 0.0
    cpuset: str = ""
    credential_spec: Pairs | None = None
    depends_on: Mapping[str, Dependency] = field(default_factory=dict)
    deploy: Deploy | None = None
    develop: Develop | None = None
    device_cgroup_rules: Strings = ()
    devices: tuple[Device, ...] = ()
    dns: Strings = ()
    dns_opt: Strings = ()
    dns_search: Strings = ()
    domainname: str = ""
    entrypoint: Strings | None = None
    env_file: tuple[EnvFile, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    expose: Strings = ()
    external_links: Strings = ()
    extra_hosts: Strings = ()  # "name=address"
    gpus: tuple[DeviceRequest, ...] = ()
    group_add: Strings = ()
    healthcheck: Healthcheck | None = None
    hostname: str = ""
    image: str = ""
    init: bool | None = None
    ipc: str = ""
    isolation: str = ""
    label_file: Strings = ()
    labels: Pairs = field(default_factory=dict)
    links: Strings = ()
    logging: Logging | None = None
    mac_address: str = ""
    mem_limit: int = 0  # bytes
    mem_reservation: int = 0  # bytes
    mem_swappiness: int | None = None
    memswap_limit: int = 0  # bytes; -1: no limit
    network_mode: str = ""
    networks: Mapping[str, ServiceNetwork | None] = field(default_factory=dict)
    oom_kill_disable: bool = False
    oom_score_adj: int = 0
    pid: str = ""
    pids_limit: int = 0
    platform: str = ""
    ports: tuple[Port, ...] = ()
    post_start: tuple[Hook, ...] = ()
    pre_stop: tuple[Hook, ...] = ()
    privileged: bool = False
    profiles: Strings = ()
    pull_policy: str = ""
    read_only: bool = False
    restart: str = ""
    runtime: str = ""
    scale: int | None = None
    secrets: tuple[Grant, ...] = ()
    security_opt: Strings = ()
    shm_size: int = 0  # bytes
    stdin_open: bool = False
    stop_grace_period: str = ""
    stop_signal: str = ""
    storage_opt: Pairs = field(default_factory=dict)
    sysctls: Pairs = field(default_factory=dict)
    tmpfs: Strings = ()
    tty: bool = False
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)
    use_api_socket: bool = False
    user: str = ""
    userns_mode: str = ""
    uts: str = ""
    volumes: tuple[Mount, ...] = ()
    volumes_from: Strings = ()
    working_dir: str = ""

    @property
    def replicas(self) -> int:
        """How many containers the service is to have, as the file says."""
        if self.scale is not None:
            return self.scale
        if self.deploy is not None and self.deploy.replicas is not None:
            return self.deploy.replicas
        return 1


class AddressRange(Model, frozen=True):
    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    aux_addresses: Pairs = field(default_factory=dict)


class Ipam(Model, frozen=True):
    driver: str = ""
    config: tuple[AddressRange, ...] = ()
    options: Pairs = field(default_factory=dict)


class Network(Model, frozen=True):
    """`name` is the engine's name for it ("PROJECT_key" unless it was given). An external one is only looked for."""

    name: str = ""
    driver: str = ""
    driver_opts: Pairs = field(default_factory=dict)
    ipam: Ipam | None = None
    external: bool = False
    internal: bool = False
    attachable: bool = False
    labels: Pairs = field(default_factory=dict)
    enable_ipv4: bool | None = None
    enable_ipv6: bool | None = None


class Volume(Model, frozen=True):
    name: str = ""
    driver: str = ""
    driver_opts: Pairs = field(default_factory=dict)
    external: bool = False
    labels: Pairs = field(default_factory=dict)


class Material(Model, frozen=True):
    """A secret or a configuration: exactly one of `file`, `environment`, `content`, or external. `digest` is what it
    holds, where a load was asked to look (`Options.grants`)."""

    name: str = ""
    file: str = ""
    environment: str = ""
    content: str = ""
    external: bool = False
    labels: Pairs = field(default_factory=dict)
    driver: str = ""
    driver_opts: Pairs = field(default_factory=dict)
    template_driver: str = ""
    digest: str = ""


class Project(Model, frozen=True):
    """A whole project. `services` are the enabled ones, `disabled` those that no active profile names; `environment`
    is what interpolation saw (needed for secrets and configurations from a variable)."""

    name: str
    directory: str = ""
    files: Strings = ()
    profiles: Strings = ()
    services: Mapping[str, Service] = field(default_factory=dict)
    disabled: Mapping[str, Service] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    secrets: Mapping[str, Material] = field(default_factory=dict)
    configs: Mapping[str, Material] = field(default_factory=dict)
    environment: Pairs = field(default_factory=dict)
    warnings: Strings = ()  # for the user's eyes, in the order they were found
    places: Pairs = field(default_factory=dict)  # "networks.front", "services.web.build" → "FILE:LINE:COLUMN"

    def placed(self, path: str, text: str) -> str:
        """An error's text with the place of what it speaks of, where the files are known."""
        return f"{self.places[path]}: {text}" if path in self.places else text
