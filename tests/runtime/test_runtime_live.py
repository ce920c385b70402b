"""Changing and looking at running containers: pause, limits, statistics, processes."""

import asyncio
import os
import time

import msgspec
import pytest
from runtime_kit import Box

from boxship.errors import Invalid
from boxship.runtime import limits
from boxship.runtime.driver import Driver, Handle
from boxship.runtime.plan import NEW, Namespaces
from boxship.spec.container import Resources, ThrottleRate
from boxship.sys import cgroup

both = pytest.mark.parametrize("runtime", ["crun", "runc"])


@both
async def test_pause_and_resume(box: Box, runtime: str) -> None:
    handle = await box.create("sh", "-c", "while :; do echo x; sleep 0.01; done", runtime=runtime, log=False)
    attached = await box.driver.connect(handle)
    await box.driver.start(handle)
    stream = aiter(attached)
    await anext(stream)
    await box.driver.pause(handle)
    assert cgroup.is_frozen(box.driver.layout, handle.cgroup)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            while True:
                await anext(stream)
    await box.driver.resume(handle)
    await box.driver.resume(handle)
    attached.close()
    again = await box.driver.connect(handle)
    async with asyncio.timeout(20):
        await anext(aiter(again))
    again.close()
    await box.driver.delete(handle.id, handle)


async def test_a_paused_container_can_be_cleared(box: Box) -> None:
    handle = await box.started("sleep", "60")
    await box.driver.pause(handle)
    await box.driver.delete(handle.id, handle)
    assert not cgroup.exists(box.driver.layout, handle.cgroup)


async def test_kill_all(box: Box) -> None:
    handle = await box.started("sh", "-c", "sleep 60 & sleep 61")
    await box.driver.kill_all(handle)
    assert (await box.driver.wait(handle)).code == 137
    await box.driver.delete(handle.id, handle)


def value(box: Box, path: str, controller: str, name: str) -> str:
    return cgroup.read(box.driver.layout, controller, path, name).strip()


@both
async def test_limits_at_creation_and_live(box: Box, runtime: str) -> None:
    first = Resources(
        memory=64 << 20,
        memory_reservation=32 << 20,
        cpu_shares=512,
        nano_cpus=500_000_000,
        pids_limit=20,
        cpuset_cpus="0",
        blkio_read_bps=(ThrottleRate("/dev/vda", 1 << 20),),
    )
    limits.check(first, box.driver.host)
    handle = await box.started("sleep", "60", runtime=runtime, resources=first)
    if box.driver.layout.is_v2:
        pytest.skip("the files of version 1 are looked at")

    def seen() -> list[str]:
        files = [
            ("memory", "memory.limit_in_bytes"),
            ("memory", "memory.memsw.limit_in_bytes"),
            ("memory", "memory.soft_limit_in_bytes"),
            ("cpu", "cpu.shares"),
            ("cpu", "cpu.cfs_quota_us"),
            ("pids", "pids.max"),
            ("cpuset", "cpuset.cpus"),
            ("blkio", "blkio.throttle.read_bps_device"),
        ]
        return [value(box, handle.cgroup, *file) for file in files]

    disk = ":".join(str(number) for number in limits.device_number("/dev/vda"))
    assert seen() == [
        str(64 << 20), str(128 << 20), str(32 << 20), "512", "50000", "20", "0", f"{disk} {1 << 20}",
    ]  # fmt: skip
    bigger = limits.changed(
        first, {"memory": 256 << 20, "memory_swap": 512 << 20, "cpu_shares": 2048, "nano_cpus": 2_000_000_000}
    )
    await box.driver.update(handle, first, bigger)
    assert seen()[:5] == [str(256 << 20), str(512 << 20), str(32 << 20), "2048", "200000"]
    smaller = limits.changed(bigger, {"memory": 48 << 20, "pids_limit": -1})
    await box.driver.update(handle, bigger, smaller)
    assert seen()[:2] == [str(48 << 20), str(512 << 20)], "the swap limit stays"
    assert seen()[5] == "max"
    await box.driver.delete(handle.id, handle)


async def test_a_refused_limit_changes_nothing(box: Box) -> None:
    first = Resources(memory=64 << 20, cpu_shares=512)
    handle = await box.started("sleep", "60", resources=first)
    wrong = Resources(memory=64 << 20, cpu_shares=1000, cpuset_cpus="4000")
    with pytest.raises(Invalid, match=r"cannot set cpuset\.cpus to 4000"):
        await box.driver.update(handle, first, wrong)
    if not box.driver.layout.is_v2:
        assert value(box, handle.cgroup, "cpu", "cpu.shares") == "512"
    await box.driver.delete(handle.id, handle)


async def test_too_many_processes(box: Box) -> None:
    _, out, error = await box.run(
        "sh", "-c", "for i in 1 2 3 4 5 6; do sleep 1 & done; echo $?", resources=Resources(pids_limit=4)
    )
    assert b"fork" in error or b"Resource" in error, (out, error)


async def test_statistics(box: Box) -> None:
    handle = await box.started("sh", "-c", "while :; do :; done", resources=Resources(memory=64 << 20, pids_limit=7))
    first = box.driver.stats(handle)
    end = time.monotonic() + 20
    while (second := box.driver.stats(handle)).cpu_total - first.cpu_total < 20_000_000:
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
    assert second.time > first.time
    assert second.system_cpu >= first.system_cpu > 0
    assert second.memory_limit == 64 << 20
    assert 0 < second.memory_usage < 64 << 20
    assert second.pids == 1
    assert second.pids_limit == 7
    assert second.online_cpus >= 1
    assert second.memory_stats
    await box.driver.delete(handle.id, handle)


async def test_top(box: Box) -> None:
    handle = await box.started("sh", "-c", "sleep 71 & sleep 72; true")
    end = time.monotonic() + 20
    while len((await box.driver.top(handle, ""))[1]) < 3:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    titles, rows = await box.driver.top(handle, "-ef")
    assert titles[:3] == ["UID", "PID", "PPID"]
    assert titles[-1] == "CMD"
    assert sorted(row[-1] for row in rows)[-2:] == ["sleep 71", "sleep 72"]
    titles, rows = await box.driver.top(handle, "-eo pid,comm")
    assert titles == ["PID", "COMMAND"]
    assert sorted(row[1] for row in rows) == ["sh", "sleep", "sleep"]
    with pytest.raises(Invalid, match="Couldn't find PID field in ps output"):
        await box.driver.top(handle, "-eo comm")
    with pytest.raises(Invalid, match="is not allowed"):
        await box.driver.top(handle, "-o pid=PID")
    with pytest.raises(Invalid, match="ps: "):
        await box.driver.top(handle, "--no-such-option")
    await box.driver.delete(handle.id, handle)


async def test_a_cgroup_namespace(box: Box) -> None:
    _, out, _ = await box.run("cat", "/proc/self/cgroup", namespaces=Namespaces(cgroup=NEW))
    assert all(line.endswith(b":/") for line in out.splitlines())


async def test_a_cgroup_below_another_parent(box: Box) -> None:
    plan = box.plan("sleep", "60")
    plan = msgspec.structs.replace(plan, cgroup_path=f"/boxship-{box.instance}/group/{plan.id}")
    handle = await box.started(plan=plan)
    assert cgroup.pids(box.driver.layout, plan.cgroup_path) == [handle.process.pid]
    await box.driver.delete(handle.id, None)
    assert not cgroup.exists(box.driver.layout, f"/boxship-{box.instance}/group"), "it was made for the container"


@both
async def test_only_parents_that_were_made_and_are_empty_are_removed(box: Box, runtime: str) -> None:
    layout, base = box.driver.layout, f"/boxship-{box.instance}-parents"

    async def started(parent: str) -> Handle:
        plan = box.plan("sleep", "60")
        plan = msgspec.structs.replace(plan, cgroup_path=f"{base}{parent}/{plan.id}")
        return await box.started(plan=plan, runtime=runtime)

    def exists(parent: str) -> bool:
        return cgroup.exists(layout, base + parent)

    for folder in cgroup.folders(layout, f"{base}/given"):
        os.makedirs(folder)
    first, second, third = await started("/made/inner"), await started("/made"), await started("/given/inner")
    await box.driver.delete(first.id, first)
    assert exists("/made") and not exists("/made/inner")
    await box.driver.delete(third.id, third)
    assert exists("/given") and not exists("/given/inner")
    # A later daemon knows which ones were made.
    later = Driver(box.root, instance=box.instance, runtimes={}, default="crun")
    await later.sweep([second.id])
    assert exists("/made")
    await later.delete(second.id, None)
    assert exists("/given") and not exists("/made")
    cgroup.remove(layout, base)
    assert not exists("")


async def test_nested_cgroups_are_removed_too(box: Box) -> None:
    handle = await box.create("sleep", "60")
    for folder in cgroup.folders(box.driver.layout, f"{handle.cgroup}/inner/most"):
        os.makedirs(folder, exist_ok=True)
    await box.driver.start(handle)
    await box.driver.delete(handle.id, handle)
    assert not cgroup.exists(box.driver.layout, handle.cgroup)
