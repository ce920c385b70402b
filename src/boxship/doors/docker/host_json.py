"""A container's spec back into Docker's HostConfig and Config, as the client sent them. Pure."""

from collections.abc import Sequence
from typing import Any

from boxship.doors.docker.call import Version
from boxship.engine.model import Container
from boxship.engine.placing import POD
from boxship.spec.container import ContainerSpec, HealthCheck, MountRequest, PortRequest, Resources, ThrottleRate

DEFAULT_SHM_BYTES = 64 << 20


def some(values: Sequence[Any]) -> list[Any] | None:
    """A list, or null where it is empty."""
    return list(values) or None


def network_mode(spec: ContainerSpec) -> str:
    """ "default" has been another name of the default bridge since Docker's API 1.44."""
    return "bridge" if spec.network_mode in ("", "default") else in_docker(spec.network_mode)


def in_docker(mode: str) -> str:
    """A mode as Docker's clients know it: for them, what a pod has belongs to a container of the pod's uid."""
    return f"container:{mode.removeprefix(POD)}" if mode.startswith(POD) else mode


def host_config(container: Container, version: Version) -> dict[str, Any]:
    """The HostConfig of inspect."""
    spec = container.spec
    shown: dict[str, Any] = {
        "Binds": some([mount.text for mount in spec.mounts if mount.origin == "binds"]),
        "ContainerIDFile": spec.container_id_file,
        "LogConfig": {"Type": spec.log.driver, "Config": dict(spec.log.options)},
        "NetworkMode": network_mode(spec),
        "PortBindings": port_bindings(spec.ports),
        "RestartPolicy": {"Name": spec.restart.name, "MaximumRetryCount": spec.restart.maximum_retries},
        "AutoRemove": spec.auto_remove,
        "VolumeDriver": spec.volume_driver,
        "VolumesFrom": some(spec.volumes_from),
        "ConsoleSize": list(spec.console_size),
        "CapAdd": some(spec.capabilities_add),
        "CapDrop": some(spec.capabilities_drop),
        "CgroupnsMode": spec.cgroupns_mode or "host",
        "Dns": list(spec.dns),
        "DnsOptions": list(spec.dns_options),
        "DnsSearch": list(spec.dns_search),
        "ExtraHosts": some(spec.extra_hosts),
        "GroupAdd": some(spec.groups),
        "IpcMode": in_docker(spec.ipc_mode) or "private",
        "Cgroup": "",
        "Links": some(spec.links),
        "OomScoreAdj": spec.oom_score_adjustment,
        "PidMode": in_docker(spec.pid_mode),
        "Privileged": spec.privileged,
        "PublishAllPorts": spec.publish_all,
        "ReadonlyRootfs": spec.read_only_rootfs,
        "SecurityOpt": some(spec.security_options),
        "UTSMode": spec.uts_mode,
        "UsernsMode": spec.userns_mode,
        "ShmSize": spec.shm_size or DEFAULT_SHM_BYTES,
        "Runtime": container.runtime,
        "Isolation": "",
        **resources_json(spec.resources),
        "CgroupParent": spec.cgroup_parent,
        "Devices": [
            {
                "PathOnHost": device.host_path,
                "PathInContainer": device.container_path,
                "CgroupPermissions": device.permissions,
            }
            for device in spec.devices
        ],
        "DeviceRequests": None,
        "Ulimits": some([{"Name": limit.name, "Hard": limit.hard, "Soft": limit.soft} for limit in spec.ulimits]),
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
        "MaskedPaths": None if spec.masked_paths is None else list(spec.masked_paths),
        "ReadonlyPaths": None if spec.read_only_paths is None else list(spec.read_only_paths),
    }
    if version < (1, 42):
        shown |= {"KernelMemory": 0, "KernelMemoryTCP": 0}
    return shown | _when_given(spec)


def _when_given(spec: ContainerSpec) -> dict[str, Any]:
    """The fields that Docker leaves out where they are empty."""
    mounts = [mount_json(mount) for mount in spec.mounts if mount.origin == "mounts"]
    tmpfs = {mount.target: mount.tmpfs_options for mount in spec.mounts if mount.origin == "tmpfs"}
    optional = {
        "Mounts": mounts,
        "Tmpfs": tmpfs,
        "Annotations": dict(spec.annotations),
        "Sysctls": dict(spec.sysctls),
        "StorageOpt": dict(spec.storage_options),
        "Init": spec.init,
    }
    return {name: value for name, value in optional.items() if value or (name == "Init" and value is not None)}


def resources_json(limits: Resources) -> dict[str, Any]:
    """Limits by their names in HostConfig."""
    return {
        "CpuShares": limits.cpu_shares,
        "Memory": limits.memory,
        "NanoCpus": limits.nano_cpus,
        "BlkioWeight": limits.blkio_weight,
        "BlkioWeightDevice": [{"Path": rate.path, "Weight": rate.rate} for rate in limits.blkio_weight_device],
        "BlkioDeviceReadBps": rates_json(limits.blkio_read_bps),
        "BlkioDeviceWriteBps": rates_json(limits.blkio_write_bps),
        "BlkioDeviceReadIOps": rates_json(limits.blkio_read_iops),
        "BlkioDeviceWriteIOps": rates_json(limits.blkio_write_iops),
        "CpuPeriod": limits.cpu_period,
        "CpuQuota": limits.cpu_quota,
        "CpuRealtimePeriod": limits.cpu_realtime_period,
        "CpuRealtimeRuntime": limits.cpu_realtime_runtime,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "DeviceCgroupRules": some(limits.device_cgroup_rules),
        "MemoryReservation": limits.memory_reservation,
        "MemorySwap": limits.memory_swap,
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids_limit or None,
    }


def rates_json(rates: tuple[ThrottleRate, ...]) -> list[dict[str, Any]]:
    return [{"Path": rate.path, "Rate": rate.rate} for rate in rates]


def port_bindings(ports: Sequence[PortRequest]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        bindings.setdefault(f"{port.container_port}/{port.protocol}", []).append(
            {"HostIp": port.host_address, "HostPort": port.host_port}
        )
    return bindings


def mount_json(mount: MountRequest) -> dict[str, Any]:
    """One entry of HostConfig.Mounts, without what is empty, as Docker writes it."""
    shown: dict[str, Any] = {"Type": mount.kind, "Source": mount.source, "Target": mount.target}
    if mount.read_only:
        shown["ReadOnly"] = True
    bind = {
        "Propagation": mount.propagation,
        "NonRecursive": mount.non_recursive,
        "CreateMountpoint": mount.create_source,
        "ReadOnlyNonRecursive": mount.read_only_non_recursive,
        "ReadOnlyForceRecursive": mount.read_only_force_recursive,
    }
    volume = {
        "NoCopy": mount.no_copy,
        "Labels": dict(mount.labels),
        "Subpath": mount.subpath,
        "DriverConfig": {"Name": mount.driver, "Options": dict(mount.driver_options)} if mount.driver else None,
    }
    tmpfs = {
        "SizeBytes": mount.tmpfs_size,
        "Mode": mount.tmpfs_mode,
        "Options": [option.split("=", 1) for option in mount.tmpfs_options.split(",") if option],
    }
    name, options = {
        "bind": ("BindOptions", bind),
        "volume": ("VolumeOptions", volume),
        "tmpfs": ("TmpfsOptions", tmpfs),
    }[mount.kind]
    given = {key: value for key, value in options.items() if value}
    if given:
        shown[name] = given
    return {key: value for key, value in shown.items() if value}


def container_config(container: Container, version: Version) -> dict[str, Any]:
    """The Config of inspect: the request merged with the image."""
    spec, process = container.spec, container.process
    shown: dict[str, Any] = {
        "Hostname": "" if spec.network_mode.startswith("container:") else spec.hostname or container.id[:12],
        "Domainname": spec.domainname,
        "User": process.user,
        "AttachStdin": spec.attach_stdin,
        "AttachStdout": spec.attach_stdout,
        "AttachStderr": spec.attach_stderr,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StdinOnce": spec.stdin_once,
        "Env": list(process.environment),
        "Cmd": None if process.command is None else list(process.command),
        "Image": spec.image,
        "Volumes": {target: {} for target in container.volumes} or None,
        "WorkingDir": process.working_directory,
        "Entrypoint": None if process.entrypoint is None else list(process.entrypoint),
        "OnBuild": None,
        "Labels": dict(container.labels),
    }
    if container.exposed_ports:
        shown["ExposedPorts"] = {port: {} for port in container.exposed_ports}
    if container.health is not None and container.health.test:
        shown["Healthcheck"] = health_json(container.health)
    if spec.network_disabled:
        shown["NetworkDisabled"] = True
    if spec.mac_address and version < (1, 44):
        shown["MacAddress"] = spec.mac_address
    if spec.stop_signal or (container.image_config and container.image_config.StopSignal):
        shown["StopSignal"] = container.stop_signal
    if spec.stop_timeout is not None:
        shown["StopTimeout"] = spec.stop_timeout
    if spec.shell:
        shown["Shell"] = list(spec.shell)
    return shown


def health_json(check: HealthCheck) -> dict[str, Any]:
    """The Healthcheck of Config, durations in nanoseconds, without what is zero."""
    shown = {
        "Test": list(check.test),
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
        "Retries": check.retries,
    }
    return {name: value for name, value in shown.items() if value}
