"""What happens while no daemon looks, and when conmon is killed. A new Driver stands for a new daemon."""

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path

import msgspec
import pytest
from runtime_kit import Box, drain

from boxship.runtime import conmon
from boxship.runtime.config import render
from boxship.runtime.driver import Driver, Exit, Handle, Process, Running
from boxship.sys import cgroup
from boxship.sys.pidfd import is_alive

both = pytest.mark.parametrize("runtime", ["crun", "runc"])


async def killed(process: Process) -> None:
    """Kill, and wait until it is dead."""
    os.kill(process.pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while is_alive(process.pid, process.started):
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


def another(box: Box, handle: Handle) -> tuple[Driver, Handle]:
    driver = Driver(box.root, instance=box.instance, runtimes={}, default="crun")
    found = driver.handle(handle.id, handle.runtime, handle.process, handle.monitor, handle.bundle)
    return driver, found


@both
async def test_a_running_container_is_found_and_goes_on(box: Box, runtime: str) -> None:
    handle = await box.create("sh", "-c", "read x; echo $x; exit 8", stdin=True, runtime=runtime)
    await box.driver.start(handle)
    driver, found = another(box, handle)
    assert found == handle
    assert await driver.recover(found) == Running(handle.process)
    assert Driver.living_monitors(box.root) == [handle.monitor.pid]
    attached = await driver.connect(found)
    await attached.write(b"hello\n")
    assert (await drain(attached))[0] == b"hello\n"
    assert (await driver.wait(found)).code == 8
    await driver.delete(found.id, found)
    assert await driver.recover(found) is None


@both
async def test_an_end_in_between_is_known(box: Box, runtime: str) -> None:
    handle = await box.started("sh", "-c", "exit 42", runtime=runtime)
    first = await box.driver.wait(handle)
    driver, found = another(box, handle)
    assert await driver.recover(found) == first
    assert first.code == 42
    await driver.delete(found.id, found)


async def test_an_end_at_this_moment_is_known(box: Box) -> None:
    for _ in range(10):
        handle = await box.started("sh", "-c", "exit 42")
        driver, found = another(box, handle)
        state = await driver.recover(found)
        ended = await driver.wait(found) if isinstance(state, Running) else state
        assert ended is not None
        assert (ended.code, ended.monitor_lost) == (42, False)
        await driver.delete(found.id, found)


@both
async def test_a_killed_conmon_takes_its_container_with_it(box: Box, runtime: str) -> None:
    handle = await box.started("sh", "-c", "sleep 60 & sleep 61", runtime=runtime)
    waiting = asyncio.create_task(box.driver.wait(handle))
    await asyncio.sleep(0)
    os.kill(handle.monitor.pid, signal.SIGKILL)
    ended = await asyncio.wait_for(waiting, 20)
    assert ended.monitor_lost
    assert ended.code == 137
    assert not is_alive(handle.process.pid, handle.process.started)
    await box.driver.delete(handle.id, handle)


async def test_conmon_killed_while_no_daemon_looks(box: Box) -> None:
    handle = await box.started("sleep", "60")
    await killed(handle.monitor)
    driver, found = another(box, handle)
    ended = await driver.recover(found)
    assert isinstance(ended, Exit)
    assert ended.monitor_lost
    assert not is_alive(handle.process.pid, handle.process.started)
    await driver.delete(found.id, found)


async def test_everything_killed_as_by_a_reboot(box: Box) -> None:
    handle = await box.started("sleep", "60")
    await killed(handle.monitor)
    await killed(handle.process)
    driver, found = another(box, handle)
    ended = await driver.recover(found)
    assert isinstance(ended, Exit)
    assert ended.monitor_lost
    await driver.delete(found.id, None)
    assert not found.bundle.exists()


async def test_a_later_process_with_the_same_pid_is_left_alone(box: Box) -> None:
    handle = await box.started("sleep", "60")
    driver, _ = another(box, handle)
    wrong = msgspec.structs.replace(handle.process, started=handle.process.started + 1)
    stranger = msgspec.structs.replace(handle, process=wrong)
    driver.signal(stranger, signal.SIGKILL)
    assert is_alive(handle.process.pid, handle.process.started)
    await box.driver.delete(handle.id, handle)


@both
async def test_sweep_takes_back_what_no_record_knows(box: Box, runtime: str) -> None:
    kept = await box.started("sleep", "60", runtime=runtime)
    created = await box.create("sleep", "60", runtime=runtime)
    running = await box.started("sleep", "60", runtime=runtime)
    ended = await box.started("true", runtime=runtime)
    await box.driver.wait(ended)
    driver, _ = another(box, kept)
    await driver.sweep([kept.id])
    for gone in (created, running, ended):
        assert not gone.bundle.exists()
        assert not cgroup.exists(driver.layout, gone.cgroup)
        assert not is_alive(gone.process.pid, gone.process.started)
        assert not (box.root / "runtimes" / runtime / gone.id).exists()
    assert is_alive(kept.process.pid, kept.process.started)
    assert Driver.living_monitors(box.root) == [kept.monitor.pid]
    await driver.delete(kept.id, kept)


async def test_a_daemon_that_died_in_the_middle_of_create(box: Box) -> None:
    """conmon is spawned, nothing is stored: at any moment of its work it is taken back by the id alone."""
    for step in range(12):
        plan = box.plan("sleep", "60")
        bundle = box.bundle(plan.id)
        bundle.mkdir(parents=True)
        (bundle / "config.json").write_bytes(msgspec.json.encode(render(plan, box.driver.layout)))
        request = conmon.Request(
            container_id=plan.id,
            program="/usr/bin/crun",
            state_root=box.root / "runtimes/crun",
            bundle=bundle,
        )
        request.state_root.mkdir(parents=True, exist_ok=True)
        monitor = conmon.Conmon(request)
        monitor.close()
        await asyncio.sleep(step * 0.003)
        driver = Driver(box.root, instance=box.instance, runtimes={}, default="crun")
        await driver.delete(plan.id, None)
        assert not bundle.exists()
        assert not cgroup.exists(driver.layout, plan.cgroup_path)
        assert list(conmon.living(box.root / "bundles")) == []
        assert not (request.state_root / plan.id).exists()


async def test_a_replaced_runtime_program_is_bound_anew(box: Box, tmp_path: Path) -> None:
    path = tmp_path / "crun"
    shutil.copy("/usr/bin/crun", path)
    for _ in range(2):
        driver = Driver(tmp_path, instance=box.instance, runtimes={"own": path}, default="own")
        await driver.open()
        assert os.path.samefile(tmp_path / "programs/own", path)
        fresh = tmp_path / "fresh"
        shutil.copy("/usr/bin/crun", fresh)
        fresh.rename(path)
        assert not os.path.samefile(tmp_path / "programs/own", path)
        again = Driver(tmp_path, instance=box.instance, runtimes={"own": path}, default="own")
        await again.open()
        assert os.path.samefile(tmp_path / "programs/own", path)
        await again.close()
