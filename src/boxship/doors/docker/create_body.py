"""From the body of a create to the engine's ContainerSpec. Pure. What cannot be said in a spec is refused by name."""

import ipaddress
import re
from typing import Any

import msgspec

from boxship.doors.docker.bodies import (
    ContainerBody,
    EndpointBody,
    HealthBody,
    HostBody,
    MountBody,
    RateBody,
    ResourceBody,
    RestartBody,
    Words,
)
from boxship.errors import Invalid, Unsupported
from boxship.spec.container import (
    ContainerSpec,
    DeviceMapping,
    EndpointRequest,
    HealthCheck,
    LogPolicy,
    MountRequest,
    PortRequest,
    Resources,
    RestartPolicy,
    ThrottleRate,
    Ulimit,
)

PROTOCOLS = ("tcp", "udp", "sctp")
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/([a-zA-Z]+))?", re.ASCII)


def container_spec(body: ContainerBody, platform: str = "") -> ContainerSpec:
    """The whole spec. Raises Invalid or Unsupported with the field's name."""
    host = body.host_config or HostBody()
    refuse(body, host)
    network_mode = host.network_mode or "default"
    bindings = host.port_bindings or {}
    return ContainerSpec(
        image=body.image,
        entrypoint=words(body.entrypoint) or None,
        command=words(body.cmd) or None,
        environment=strings(body.env),
        working_directory=body.working_dir,
        user=body.user,
        groups=tuple(host.group_add or ()),
        tty=body.tty,
        open_stdin=body.open_stdin,
        stdin_once=body.stdin_once,
        attach_stdin=body.attach_stdin,
        attach_stdout=body.attach_stdout,
        attach_stderr=body.attach_stderr,
        console_size=console_size(host.console_size, "HostConfig.ConsoleSize"),
        init=host.init,
        stop_signal=body.stop_signal,
        stop_timeout=body.stop_timeout,
        hostname=body.hostname,
        domainname=body.domainname,
        labels=body.labels or {},
        annotations=host.annotations or {},
        platform=platform,
        exposed_ports=tuple(
            dict.fromkeys(port for text in (*(body.exposed_ports or ()), *bindings) for port in exposed(text))
        ),
        shell=words(body.shell),
        network_mode=network_mode,
        network_disabled=body.network_disabled,
        endpoints=endpoints(body, network_mode),
        mac_address=body.mac_address,
        ports=ports(host),
        publish_all=host.publish_all_ports,
        dns=tuple(host.dns or ()),
        dns_options=tuple(host.dns_options or ()),
        dns_search=tuple(host.dns_search or ()),
        extra_hosts=tuple(host.extra_hosts or ()),
        links=tuple(host.links or ()),
        ipc_mode=host.ipc_mode,
        pid_mode=host.pid_mode,
        uts_mode=host.uts_mode,
        cgroupns_mode=host.cgroupns_mode,
        userns_mode=host.userns_mode,
        mounts=mounts(host),
        volumes=tuple(body.volumes or ()),
        volumes_from=tuple(host.volumes_from or ()),
        volume_driver=host.volume_driver,
        read_only_rootfs=host.readonly_rootfs,
        shm_size=not_negative(host.shm_size, "SHM size"),
        storage_options=host.storage_opt or {},
        privileged=host.privileged,
        capabilities_add=words(host.cap_add),
        capabilities_drop=words(host.cap_drop),
        security_options=tuple(host.security_opt or ()),
        devices=devices(host),
        sysctls=host.sysctls or {},
        ulimits=ulimits(host),
        oom_score_adjustment=host.oom_score_adj,
        masked_paths=None if host.masked_paths is None else tuple(host.masked_paths),
        read_only_paths=None if host.readonly_paths is None else tuple(host.readonly_paths),
        resources=Resources(**resources(host)),
        cgroup_parent=host.cgroup_parent,
        restart=restart_policy(host.restart_policy),
        auto_remove=host.auto_remove,
        health=health(body.healthcheck),
        log=log_policy(host),
        runtime=host.runtime,
        container_id_file=host.container_id_file,
    )


def refuse(body: ContainerBody, host: HostBody) -> None:
    """What the structs know, because every client sends it, and what Boxship does not do."""
    if body.on_build:
        raise Unsupported("unsupported: OnBuild")
    if host.isolation not in ("", "default"):
        raise Invalid(f"invalid isolation '{host.isolation}' on linux")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise Invalid(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")


def words(value: Words) -> tuple[str, ...]:
    """A list of words, also from Docker's shorthand of one string."""
    return (value,) if isinstance(value, str) else strings(value)


def strings(value: list[str | None] | None) -> tuple[str, ...]:
    """A null among strings is Go's empty string."""
    return tuple(item or "" for item in value or ())


def not_negative(value: int, name: str) -> int:
    if value < 0:
        raise Invalid(f"{name} can not be less than 0")
    return value


def console_size(value: list[int] | None, name: str) -> tuple[int, int]:
    """(rows, columns)."""
    if not value:
        return (0, 0)
    if len(value) != 2 or not all(0 <= side <= 65535 for side in value):
        raise Invalid(f"invalid {name}: two numbers, rows and columns, are expected")
    return (value[0], value[1])


def exposed(text: str) -> list[str]:
    """ "80/tcp" of "80", and each port of a range."""
    first, last, protocol = port_range(text)
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def port_range(text: str) -> tuple[int, int, str]:
    """(first, last, protocol) of "80", "80/udp" or "80-90/tcp". Raises Invalid with Docker's text."""
    match = _PORT.fullmatch(text)
    protocol = (match[3] or "tcp").lower() if match else ""
    if not match or protocol not in PROTOCOLS:
        raise Invalid(f'invalid port specification: "{text}"')
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last <= 65535:
        raise Invalid(f'invalid port specification: "{text}"')
    return first, last, protocol


def ports(host: HostBody) -> tuple[PortRequest, ...]:
    requests = []
    for text, bindings in (host.port_bindings or {}).items():
        port, last, protocol = port_range(text)
        if last != port:
            raise Invalid(f'invalid port specification: "{text}"')
        for binding in bindings or ():
            if binding.host_port:
                port_range(binding.host_port)
            if binding.host_ip:
                check_address(binding.host_ip)
            requests.append(PortRequest(port, protocol, binding.host_ip, binding.host_port))
    return tuple(requests)


def check_address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise Invalid(f"invalid IP address: {text}") from None


def endpoints(body: ContainerBody, network_mode: str) -> tuple[EndpointRequest, ...]:
    """The networks to join; "default" is another name of the default bridge."""
    config = body.networking_config.endpoints_config if body.networking_config else None
    joined = tuple(endpoint_request(name, endpoint) for name, endpoint in (config or {}).items())
    if len(joined) > 1 and network_mode in ("none", "host"):
        raise Invalid(f"conflicting options: cannot attach both user-defined and {network_mode} network-mode networks")
    return joined


def endpoint_request(network: str, body: EndpointBody | None) -> EndpointRequest:
    body = body or EndpointBody()
    ipam = body.ipam_config
    for text in (ipam.ipv4_address, ipam.ipv6_address) if ipam else ():
        if text:
            check_address(text)
    return EndpointRequest(
        network="bridge" if network == "default" else network,
        aliases=tuple(body.aliases or ()),
        ipv4_address=ipam.ipv4_address if ipam else "",
        ipv6_address=ipam.ipv6_address if ipam else "",
        mac_address=body.mac_address,
        links=tuple(body.links or ()),
        driver_options=body.driver_opts or {},
        gateway_priority=body.gw_priority,
    )


def mounts(host: HostBody) -> tuple[MountRequest, ...]:
    """Binds (whose text the engine parses), mounts, and tmpfs, in this order."""
    return (
        *(MountRequest(kind="bind", target="", origin="binds", text=text) for text in host.binds or ()),
        *(mount(entry) for entry in host.mounts or ()),
        *(
            MountRequest(kind="tmpfs", target=target, tmpfs_options=options, origin="tmpfs")
            for target, options in (host.tmpfs or {}).items()
        ),
    )


def mount(body: MountBody) -> MountRequest:
    """One entry of HostConfig.Mounts. Raises Invalid with Docker's texts."""
    kind = body.type

    def wrong(why: str) -> Invalid:
        return Invalid(f'invalid mount config for type "{kind}": {why}')

    if kind in ("image", "npipe", "cluster"):
        raise Unsupported(f"unsupported: HostConfig.Mounts type {kind}")
    if kind not in ("bind", "volume", "tmpfs"):
        raise Invalid(f"mount type unknown: {kind!r}" if kind else "invalid mount config: mount type unknown")
    if not body.target:
        raise wrong("field Target must not be empty")
    for name, options, owner in (
        ("BindOptions", body.bind_options, "bind"),
        ("VolumeOptions", body.volume_options, "volume"),
        ("TmpfsOptions", body.tmpfs_options, "tmpfs"),
    ):
        if options is not None and kind != owner:
            raise wrong(f"field {name} must not be specified")
    if kind == "bind" and not body.source:
        raise wrong("field Source must not be empty")
    if kind == "bind" and not body.source.startswith("/"):
        raise wrong(f"invalid mount path: '{body.source}' mount path must be absolute")
    if kind == "tmpfs" and body.source:
        raise wrong("field Source must not be specified")
    return MountRequest(
        kind=kind, target=body.target, source=body.source, read_only=body.read_only, **mount_options(body)
    )


def mount_options(body: MountBody) -> dict[str, Any]:
    """The fields of a MountRequest that the kind's own options give."""
    if body.bind_options is not None:
        bind = body.bind_options
        return {
            "propagation": bind.propagation,
            "non_recursive": bind.non_recursive,
            "create_source": bind.create_mountpoint,
            "read_only_non_recursive": bind.read_only_non_recursive,
            "read_only_force_recursive": bind.read_only_force_recursive,
        }
    if body.volume_options is not None:
        volume = body.volume_options
        driver = volume.driver_config
        return {
            "no_copy": volume.no_copy,
            "labels": volume.labels or {},
            "subpath": volume.subpath,
            "driver": driver.name if driver else "",
            "driver_options": (driver.options if driver else None) or {},
        }
    if body.tmpfs_options is not None:
        tmpfs = body.tmpfs_options
        return {
            "tmpfs_size": not_negative(tmpfs.size_bytes, "TmpfsOptions.SizeBytes"),
            "tmpfs_mode": not_negative(tmpfs.mode, "TmpfsOptions.Mode"),
            "tmpfs_options": ",".join("=".join(pair) for pair in tmpfs.options or ()),
        }
    return {}


def devices(body: ResourceBody) -> tuple[DeviceMapping, ...]:
    for device in body.devices or ():
        if not set(device.cgroup_permissions) <= set("rwm"):
            raise Invalid(f"invalid device permissions: {device.cgroup_permissions}")
    return tuple(
        DeviceMapping(
            device.path_on_host, device.path_in_container or device.path_on_host, device.cgroup_permissions or "rwm"
        )
        for device in body.devices or ()
    )


def ulimits(body: ResourceBody) -> tuple[Ulimit, ...]:
    return tuple(Ulimit(limit.name, limit.soft, limit.hard) for limit in body.ulimits or ())


PLAIN_RESOURCES = (
    "memory",
    "memory_swap",
    "memory_reservation",
    "nano_cpus",
    "cpu_shares",
    "cpu_period",
    "cpu_quota",
    "cpu_realtime_period",
    "cpu_realtime_runtime",
    "cpuset_cpus",
    "cpuset_mems",
    "pids_limit",
    "blkio_weight",
)


def resources(body: ResourceBody) -> dict[str, Any]:
    """The fields of Resources that the body sets: those that are neither absent nor zero."""
    given: dict[str, Any] = {name: getattr(body, name) for name in PLAIN_RESOURCES}
    given["memory_swappiness"] = None if body.memory_swappiness == -1 else body.memory_swappiness
    given["oom_kill_disable"] = body.oom_kill_disable
    given["blkio_weight_device"] = tuple(
        ThrottleRate(device.path, device.weight) for device in body.blkio_weight_device or ()
    )
    given["blkio_read_bps"] = rates(body.blkio_device_read_bps)
    given["blkio_write_bps"] = rates(body.blkio_device_write_bps)
    given["blkio_read_iops"] = rates(body.blkio_device_read_iops)
    given["blkio_write_iops"] = rates(body.blkio_device_write_iops)
    given["device_cgroup_rules"] = tuple(body.device_cgroup_rules or ())
    keep_zero = ("memory_swappiness", "oom_kill_disable")
    return {name: value for name, value in given.items() if value or (name in keep_zero and value is not None)}


def rates(body: list[RateBody] | None) -> tuple[ThrottleRate, ...]:
    return tuple(ThrottleRate(rate.path, rate.rate) for rate in body or ())


def restart_policy(body: RestartBody | None) -> RestartPolicy:
    if body is None:
        return RestartPolicy()
    return RestartPolicy(body.name or "no", body.maximum_retry_count)


def health(body: HealthBody | None) -> HealthCheck | None:
    if body is None:
        return None
    return HealthCheck(
        test=strings(body.test),
        interval=body.interval,
        timeout=body.timeout,
        start_period=body.start_period,
        start_interval=body.start_interval,
        retries=body.retries,
    )


def log_policy(host: HostBody) -> LogPolicy:
    body = host.log_config
    if body is None:
        return LogPolicy()
    return LogPolicy(driver=body.type, options=body.config or {})


def spec_is_empty(body: ContainerBody) -> bool:
    """Whether the client sent nothing at all."""
    return body == ContainerBody() or msgspec.to_builtins(body) == msgspec.to_builtins(ContainerBody())
