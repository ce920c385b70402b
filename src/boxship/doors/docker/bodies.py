"""The request bodies of containers and execs as structs, field by field as the public reference names them.

A field that is not here is refused by name when it carries a value (`decoding`). `Ignored` marks what Docker itself
treats as output only, or what has a meaning on other systems alone.
"""

from typing import Any

import msgspec

from boxship.doors.docker.decoding import Ignored, Int64

Words = str | list[str | None] | None  # a list, or Docker's shorthand of one string


class Go(msgspec.Struct, rename="pascal", kw_only=True):
    """Field names in Go's style; abbreviations are given by `msgspec.field(name=…)`."""


def named(name: str, default: Any = None) -> Any:
    return msgspec.field(name=name, default=default)


class HealthBody(Go):
    test: list[str | None] | None = None
    interval: Int64 = 0
    timeout: Int64 = 0
    start_period: Int64 = 0
    start_interval: Int64 = 0
    retries: Int64 = 0


class UlimitBody(Go):
    name: str = ""
    soft: Int64 = 0
    hard: Int64 = 0


class RateBody(Go):
    path: str = ""
    rate: Int64 = 0


class WeightBody(Go):
    path: str = ""
    weight: Int64 = 0


class DeviceBody(Go):
    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""


class RestartBody(Go):
    name: str = ""
    maximum_retry_count: Int64 = 0


class LogBody(Go):
    type: str = ""
    config: dict[str, str] | None = None


class PortBody(Go):
    host_ip: str = ""
    host_port: str = ""


class BindBody(Go):
    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class DriverBody(Go):
    name: str = ""
    options: dict[str, str] | None = None


class VolumeOptionsBody(Go):
    no_copy: bool = False
    labels: dict[str, str] | None = None
    driver_config: DriverBody | None = None
    subpath: str = ""


class TmpfsBody(Go):
    size_bytes: Int64 = 0
    mode: Int64 = 0
    options: list[list[str]] | None = None


class MountBody(Go):
    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: Ignored | None = None  # of Docker Desktop alone
    bind_options: BindBody | None = None
    volume_options: VolumeOptionsBody | None = None
    tmpfs_options: TmpfsBody | None = None


class ResourceBody(Go):
    """Limits: part of HostConfig, and the body of an update."""

    cpu_shares: Int64 = 0
    memory: Int64 = 0
    nano_cpus: Int64 = 0
    cgroup_parent: str = ""
    blkio_weight: Int64 = 0
    blkio_weight_device: list[WeightBody] | None = None
    blkio_device_read_bps: list[RateBody] | None = None
    blkio_device_write_bps: list[RateBody] | None = None
    blkio_device_read_iops: list[RateBody] | None = named("BlkioDeviceReadIOps")
    blkio_device_write_iops: list[RateBody] | None = named("BlkioDeviceWriteIOps")
    cpu_period: Int64 = 0
    cpu_quota: Int64 = 0
    cpu_realtime_period: Int64 = 0
    cpu_realtime_runtime: Int64 = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[DeviceBody] | None = None
    device_cgroup_rules: list[str] | None = None
    memory_reservation: Int64 = 0
    memory_swap: Int64 = 0
    memory_swappiness: Int64 | None = None
    oom_kill_disable: bool | None = None
    pids_limit: Int64 | None = None
    ulimits: list[UlimitBody] | None = None


class UpdateBody(ResourceBody):
    restart_policy: RestartBody | None = None


class HostBody(ResourceBody):
    binds: list[str] | None = None
    container_id_file: str = named("ContainerIDFile", "")
    log_config: LogBody | None = None
    network_mode: str = ""
    port_bindings: dict[str, list[PortBody] | None] | None = None
    restart_policy: RestartBody | None = None
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    console_size: list[Int64] | None = None
    annotations: dict[str, str] | None = None
    mounts: list[MountBody] | None = None
    cap_add: Words = None
    cap_drop: Words = None
    cgroupns_mode: str = ""
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str = ""
    links: list[str] | None = None
    oom_score_adj: Int64 = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    uts_mode: str = named("UTSMode", "")
    userns_mode: str = ""
    shm_size: Int64 = 0
    sysctls: dict[str, str] | None = None
    runtime: str = ""
    init: bool | None = None
    isolation: str = ""
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None


class EndpointIpamBody(Go):
    ipv4_address: str = named("IPv4Address", "")
    ipv6_address: str = named("IPv6Address", "")


class EndpointBody(Go):
    """How to join one network. The operational data that inspect shows is output only, as in Docker."""

    ipam_config: EndpointIpamBody | None = named("IPAMConfig")
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str = ""
    driver_opts: dict[str, str] | None = None
    gw_priority: Int64 = 0
    network_id: Ignored | None = named("NetworkID")
    endpoint_id: Ignored | None = named("EndpointID")
    gateway: Ignored | None = None
    ip_address: Ignored | None = named("IPAddress")
    ip_prefix_len: Ignored | None = named("IPPrefixLen")
    ipv6_gateway: Ignored | None = named("IPv6Gateway")
    global_ipv6_address: Ignored | None = named("GlobalIPv6Address")
    global_ipv6_prefix_len: Ignored | None = named("GlobalIPv6PrefixLen")
    dns_names: Ignored | None = named("DNSNames")


class NetworkingBody(Go):
    endpoints_config: dict[str, EndpointBody | None] | None = None


class ContainerBody(Go):
    """The body of `POST /containers/create`; the first part is also a commit's."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, dict[str, Any] | None] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str | None] | None = None
    cmd: Words = None
    healthcheck: HealthBody | None = None
    args_escaped: Ignored | None = None  # of Windows alone
    image: str = ""
    volumes: dict[str, dict[str, Any] | None] | None = None
    working_dir: str = ""
    entrypoint: Words = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: Int64 | None = None
    shell: Words = None
    host_config: HostBody | None = None
    networking_config: NetworkingBody | None = None


class ExecBody(Go):
    container: Ignored | None = None  # docker-py says again what the path says
    user: str = ""
    privileged: bool = False
    tty: bool = False
    console_size: list[Int64] | None = None
    attach_stdin: bool = False
    attach_stderr: bool = False
    attach_stdout: bool = False
    detach: Ignored | None = None  # said again, and decided, by the start
    detach_keys: str = ""
    env: list[str | None] | None = None
    working_dir: str = ""
    cmd: Words = None


class ExecStartBody(Go):
    detach: bool = False
    tty: bool = False
    console_size: list[Int64] | None = None
