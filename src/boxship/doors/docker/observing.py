"""What a container's processes are and use: top, stats."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from boxship.doors.docker.call import Call, reply, rfc3339
from boxship.doors.docker.errors import JSON
from boxship.doors.docker.router import Route
from boxship.engine.model import ALIVE, Container
from boxship.errors import BoxshipError
from boxship.spec.stats import StatsSample
from boxship.transport.exchange import Reply
from boxship.wire.ndjson import line

SAMPLE_SECONDS = 1.0  # between two samples
EMPTY = StatsSample()


async def top(call: Call) -> Reply:
    titles, rows = await call.engine.metrics.top(call.id, call.text("ps_args", "-ef"))
    return reply({"Titles": titles, "Processes": rows})


async def stats(call: Call) -> Reply:
    container = call.engine.containers.get(call.id)
    if call.flag("stream", True):
        return Reply(200, JSON, stats_stream(call, container))
    if call.flag("one-shot"):
        return reply(stats_json(container, await call.engine.metrics.stats(container.id), EMPTY))
    first = await call.engine.metrics.stats(container.id)
    if first.time:
        await asyncio.sleep(SAMPLE_SECONDS)
    return reply(stats_json(container, await call.engine.metrics.stats(container.id), first))


async def stats_stream(call: Call, container: Container) -> AsyncIterator[bytes]:
    """A line at once and then every second, until the container is removed. A stopped one shows its name alone."""
    before = EMPTY
    while True:
        try:
            now = await call.engine.metrics.stats(container.id)
        except BoxshipError:
            return
        yield line(stats_json(container, now, before))
        before = now
        await asyncio.sleep(SAMPLE_SECONDS)
        try:
            container = call.engine.containers.get(container.id)
        except BoxshipError:
            return
        if container.state.phase not in ALIVE:
            before = EMPTY


def stats_json(container: Container, now: StatsSample, before: StatsSample) -> dict[str, Any]:
    """One sample with the one before it, from which clients compute shares."""
    shown: dict[str, Any] = {
        "name": f"/{container.name}",
        "id": container.id,
        "read": rfc3339(now.time),
        "preread": rfc3339(before.time),
        "num_procs": 0,
        "pids_stats": {"current": now.pids, "limit": now.pids_limit} if now.time else {},
        "cpu_stats": cpu_json(now),
        "precpu_stats": cpu_json(before),
        "memory_stats": memory_json(now) if now.time else {},
        "blkio_stats": block_json(now),
        "storage_stats": {},
    }
    if now.networks:
        shown["networks"] = {name: dict(counters) for name, counters in now.networks.items()}
    return shown


def cpu_json(sample: StatsSample) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "total_usage": sample.cpu_total,
        "usage_in_kernelmode": sample.cpu_system,
        "usage_in_usermode": sample.cpu_user,
    }
    if sample.cpu_per_core:
        usage["percpu_usage"] = list(sample.cpu_per_core)
    shown: dict[str, Any] = {
        "cpu_usage": usage,
        "throttling_data": {
            "periods": sample.cpu_periods,
            "throttled_periods": sample.cpu_throttled_periods,
            "throttled_time": sample.cpu_throttled_time,
        },
    }
    if sample.time:
        shown |= {"system_cpu_usage": sample.system_cpu, "online_cpus": sample.online_cpus}
    return shown


def memory_json(sample: StatsSample) -> dict[str, Any]:
    shown: dict[str, Any] = {"usage": sample.memory_usage, "stats": dict(sample.memory_stats)}
    if sample.cgroup_version == 1:
        shown |= {"max_usage": sample.memory_max_usage, "failcnt": sample.memory_fail_count}
    return shown | {"limit": sample.memory_limit}


def block_json(sample: StatsSample) -> dict[str, Any]:
    def rows(values: tuple[tuple[int, int, str, int], ...]) -> list[dict[str, Any]] | None:
        return [
            {"major": major, "minor": minor, "op": operation, "value": value}
            for major, minor, operation, value in values
        ] or None

    return {
        "io_service_bytes_recursive": rows(sample.block_bytes),
        "io_serviced_recursive": rows(sample.block_operations),
        "io_queue_recursive": None,
        "io_service_time_recursive": None,
        "io_wait_time_recursive": None,
        "io_merged_recursive": None,
        "io_time_recursive": None,
        "sectors_recursive": None,
    }


ROUTES = (
    Route("GET", "/containers/{id}/top", top, query=("ps_args",)),
    Route("GET", "/containers/{id}/stats", stats, query=("stream", "one-shot")),
)
