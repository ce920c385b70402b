"""The parts of a normalised service: builds, mounts, ports, limits and the like, as typed values (see `model`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

Strings = tuple[str, ...]
Pairs = Mapping[str, str]


class Model(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What all values of the model share: `extensions` are the `x-` fields that stood beside the others."""

    extensions: Mapping[str, Any] = field(default_factory=dict)


class Ulimit(Model, frozen=True):
    """`single`, or `soft` and `hard`; -1 is no limit."""

    single: int | None = None
    soft: int | None = None
    hard: int | None = None


class Grant(Model, frozen=True):
    """A secret or a configuration that a service or a build is given: its name in the project, and where it shows."""

    source: str
    target: str = ""
    uid: str = ""
    gid: str = ""
    mode: int | None = None  # permission bits


class Build(Model, frozen=True):
    """How a service's image is built. `ssh` is id → path of an agent's socket or a key; "" is the caller's agent."""

    context: str = ""
    dockerfile: str = ""
    dockerfile_inline: str = ""
    additional_contexts: Pairs = field(default_factory=dict)
    args: Mapping[str, str | None] = field(default_factory=dict)
    cache_from: Strings = ()
    cache_to: Strings = ()
    entitlements: Strings = ()
    extra_hosts: Strings = ()
    isolation: str = ""
    labels: Pairs = field(default_factory=dict)
    network: str = ""
    no_cache: bool = False
    no_cache_filter: Strings = ()
    platforms: Strings = ()
    privileged: bool = False
    provenance: str = ""
    pull: bool = False
    sbom: str = ""
    secrets: tuple[Grant, ...] = ()
    shm_size: int = 0  # bytes
    ssh: Pairs = field(default_factory=dict)
    tags: Strings = ()
    target: str = ""
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)


class Hook(Model, frozen=True):
    """A command that is executed inside the container after its start or before its stop."""

    command: Strings
    user: str = ""
    privileged: bool = False
    working_dir: str = ""
    environment: Mapping[str, str | None] = field(default_factory=dict)


class Dependency(Model, frozen=True):
    """`condition` is service_started, service_healthy or service_completed_successfully."""

    condition: str = "service_started"
    restart: bool = False
    required: bool = True


class Throttle(Model, frozen=True):
    """A device's rate in bytes or operations a second."""

    path: str
    rate: int


class Weight(Model, frozen=True):
    path: str
    weight: int


class BlockIo(Model, frozen=True):
    weight: int = 0
    weight_device: tuple[Weight, ...] = ()
    device_read_bps: tuple[Throttle, ...] = ()
    device_read_iops: tuple[Throttle, ...] = ()
    device_write_bps: tuple[Throttle, ...] = ()
    device_write_iops: tuple[Throttle, ...] = ()


class DeviceRequest(Model, frozen=True):
    """Devices that a driver of the engine hands out (graphics cards, mostly). `count` -1 is all."""

    capabilities: Strings = ()
    driver: str = ""
    count: int | None = None
    device_ids: Strings = ()
    options: Pairs = field(default_factory=dict)


class GenericResource(Model, frozen=True):
    discrete_resource_spec: Mapping[str, Any] | None = None


class Resource(Model, frozen=True):
    cpus: float | None = None
    memory: int | None = None  # bytes
    pids: int | None = None
    devices: tuple[DeviceRequest, ...] = ()
    generic_resources: tuple[GenericResource, ...] = ()


class Resources(Model, frozen=True):
    limits: Resource | None = None
    reservations: Resource | None = None


class RestartPolicy(Model, frozen=True):
    """`condition` is none, on-failure or any."""

    condition: str = ""
    delay: str = ""
    max_attempts: int | None = None
    window: str = ""


class UpdateConfig(Model, frozen=True):
    """How replicas are replaced: `parallelism` at a time (0: all), `order` start-first or stop-first, and what a
    failure does: pause, continue or rollback (a rollback itself: pause or continue)."""

    parallelism: int | None = None
    delay: str = ""
    failure_action: str = ""
    monitor: str = ""
    max_failure_ratio: float = 0.0
    order: str = ""


class Placement(Model, frozen=True):
    constraints: Strings = ()
    preferences: tuple[Mapping[str, str], ...] = ()
    max_replicas_per_node: int = 0


class Deploy(Model, frozen=True):
    """`mode` is replicated, global, replicated-job or global-job; `endpoint_mode` is vip or dnsrr."""

    mode: str = ""
    replicas: int | None = None
    labels: Pairs = field(default_factory=dict)
    update_config: UpdateConfig | None = None
    rollback_config: UpdateConfig | None = None
    resources: Resources | None = None
    restart_policy: RestartPolicy | None = None
    placement: Placement | None = None
    endpoint_mode: str = ""


class Healthcheck(Model, frozen=True):
    """`test` begins with CMD, CMD-SHELL or NONE."""

    test: Strings = ()
    interval: str = ""
    timeout: str = ""
    start_period: str = ""
    start_interval: str = ""
    retries: int | None = None
    disable: bool = False


class Logging(Model, frozen=True):
    driver: str = ""
    options: Pairs = field(default_factory=dict)


class ServiceNetwork(Model, frozen=True):
    """One service in one network. The higher `priority` is joined first; the highest `gw_priority` has the default
    route."""

    aliases: Strings = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: Strings = ()
    mac_address: str = ""
    driver_opts: Pairs = field(default_factory=dict)
    priority: int = 0
    gw_priority: int = 0
    interface_name: str = ""


class Port(Model, frozen=True):
    """`published` is "" (any free port), a port, or a range "8000-8010" of which a free one is taken."""

    target: int
    published: str = ""
    protocol: str = "tcp"
    mode: str = "ingress"
    host_ip: str = ""
    name: str = ""
    app_protocol: str = ""


class BindOptions(Model, frozen=True):
    propagation: str = ""
    create_host_path: bool = False
    selinux: str = ""
    recursive: str = ""


class VolumeOptions(Model, frozen=True):
    nocopy: bool = False
    subpath: str = ""
    labels: Pairs = field(default_factory=dict)


class TmpfsOptions(Model, frozen=True):
    size: int = 0  # bytes
    mode: int = 0  # permission bits


class ImageOptions(Model, frozen=True):
    subpath: str = ""


class Mount(Model, frozen=True):
    """`type` is volume, bind, tmpfs, image, npipe or cluster. A volume without `source` is anonymous."""

    type: str
    target: str
    source: str = ""
    read_only: bool = False
    consistency: str = ""
    bind: BindOptions | None = None
    volume: VolumeOptions | None = None
    tmpfs: TmpfsOptions | None = None
    image: ImageOptions | None = None


class Device(Model, frozen=True):
    source: str
    target: str = ""
    permissions: str = ""


class EnvFile(Model, frozen=True):
    path: str
    required: bool = True
    format: str = ""


class Trigger(Model, frozen=True):
    """One rule of `develop.watch`: `action` is sync, rebuild, restart, sync+restart or sync+exec."""

    path: str
    action: str
    target: str = ""
    ignore: Strings = ()
    include: Strings = ()
    initial_sync: bool = False
    exec: Hook | None = None


class Develop(Model, frozen=True):
    watch: tuple[Trigger, ...] = ()
