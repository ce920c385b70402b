"""What a service may use: processors, memory, processes, block devices, devices and limits of its processes."""

from __future__ import annotations

from typing import Any

from boxship.compose.model import Service
from boxship.compose.parts import BlockIo, DeviceRequest, Resources, Ulimit
from boxship.errors import Invalid

Body = dict[str, Any]
SHARES = 1024  # of one whole processor


def limits(service: Service) -> Body:
    """The fields of HostConfig. Those of `deploy` go before the older ones beside it."""
    found: Body = {
        "Memory": service.mem_limit,
        "MemoryReservation": service.mem_reservation,
        "MemorySwap": service.memswap_limit,
        "MemorySwappiness": service.mem_swappiness,
        "NanoCpus": round(service.cpus * 1_000_000_000),
        "CpuShares": service.cpu_shares,
        "CpuPeriod": service.cpu_period,
        "CpuQuota": service.cpu_quota,
        "CpuRealtimePeriod": service.cpu_rt_period,
        "CpuRealtimeRuntime": service.cpu_rt_runtime,
        "CpusetCpus": service.cpuset,
        "CgroupParent": service.cgroup_parent,
        "DeviceCgroupRules": list(service.device_cgroup_rules) or None,
        "OomKillDisable": service.oom_kill_disable or None,
        "OomScoreAdj": service.oom_score_adj,
        "PidsLimit": service.pids_limit or None,
        "ShmSize": service.shm_size,
        "Ulimits": [ulimit(name, limit) for name, limit in service.ulimits.items()] or None,
        **_devices(service),
        **_block_devices(service.blkio_config),
    }
    if service.deploy is not None and service.deploy.resources is not None:
        found |= _deployed(service.deploy.resources, shares=service.cpu_shares)
    return found


def _deployed(resources: Resources, *, shares: int) -> Body:
    found: Body = {}
    most, least = resources.limits, resources.reservations
    if most is not None:
        found |= {"NanoCpus": round(most.cpus * 1_000_000_000)} if most.cpus else {}
        found |= {"Memory": most.memory} if most.memory else {}
        found |= {"PidsLimit": most.pids} if most.pids else {}
    if least is not None:
        found |= {"MemoryReservation": least.memory} if least.memory else {}
        # Processors that are reserved count when there are too few for all.
        found |= {"CpuShares": max(2, round(least.cpus * SHARES))} if least.cpus and not shares else {}
    return found


def ulimit(name: str, limit: Ulimit) -> Body:
    soft = limit.single if limit.single is not None else limit.soft
    hard = limit.single if limit.single is not None else limit.hard
    soft = soft if soft is not None else hard
    hard = hard if hard is not None else soft
    if soft is None or hard is None:
        raise Invalid(f"cannot use the ulimit {name}: it has no number")
    return {"Name": name, "Soft": soft, "Hard": hard}


def _devices(service: Service) -> Body:
    plain = [device for device in service.devices if not _by_driver(device.source)]
    requests = [_request(request) for request in service.gpus]
    if service.deploy is not None and service.deploy.resources is not None:
        for part in (service.deploy.resources.reservations, service.deploy.resources.limits):
            requests += [_request(request) for request in (part.devices if part else ())]
    named = [device.source for device in service.devices if _by_driver(device.source)]
    if named:
        requests.append({"Driver": "cdi", "DeviceIDs": named})
    found: Body = {
        "Devices": [
            {
                "PathOnHost": device.source,
                "PathInContainer": device.target or device.source,
                "CgroupPermissions": device.permissions or "rwm",
            }
            for device in plain
        ]
        or None
    }
    return {**found, "DeviceRequests": requests} if requests else found


def _by_driver(source: str) -> bool:
    """ "vendor.com/class=name" is a device that a driver knows, no path."""
    return "=" in source and not source.startswith("/")


def _request(request: DeviceRequest) -> Body:
    capabilities = list(request.capabilities) or ["gpu"]
    found: Body = {"Driver": request.driver, "Capabilities": [capabilities], "Options": dict(request.options)}
    if request.device_ids:
        return {**found, "DeviceIDs": list(request.device_ids)}
    return {**found, "Count": -1 if request.count is None else request.count}


def _block_devices(config: BlockIo | None) -> Body:
    if config is None:
        return {}

    def rates(field: str) -> list[Body]:
        return [{"Path": throttle.path, "Rate": throttle.rate} for throttle in getattr(config, field)]

    return {
        "BlkioWeight": config.weight,
        "BlkioWeightDevice": [{"Path": one.path, "Weight": one.weight} for one in config.weight_device],
        "BlkioDeviceReadBps": rates("device_read_bps"),
        "BlkioDeviceReadIOps": rates("device_read_iops"),
        "BlkioDeviceWriteBps": rates("device_write_bps"),
        "BlkioDeviceWriteIOps": rates("device_write_iops"),
    }
