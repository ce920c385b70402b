"""Further processes in running containers."""

import signal

import pytest
from runtime_kit import Box, drain

from boxship.errors import Internal, Timeout
from boxship.runtime import launching
from boxship.runtime.plan import Identity
from boxship.sys.pidfd import is_alive, start_time

both = pytest.mark.parametrize("runtime", ["crun", "runc"])


@both
async def test_attached_with_all_streams(box: Box, runtime: str) -> None:
    handle = await box.started("sleep", "60", runtime=runtime)
    plan = box.exec_plan("sh", "-c", "cat; echo err >&2; exit 6")
    run, attached = await box.driver.exec(handle, "e1", plan, stdin=True, attach=True)
    assert attached is not None
    assert run.exec_id == "e1"
    await attached.write(b"input\n")
    await attached.close_stdin()
    assert await drain(attached) == (b"input\n", b"err\n")
    assert (await box.driver.wait(run)).code == 6
    await box.driver.forget_exec(run)
    assert not run.bundle.exists()
    await box.driver.delete(handle.id, handle)


@both
async def test_detached(box: Box, runtime: str) -> None:
    handle = await box.started("sleep", "60", runtime=runtime)
    run, attached = await box.driver.exec(handle, "e1", box.exec_plan("sh", "-c", "exit 3"), stdin=False, attach=False)
    assert attached is None
    assert (await box.driver.wait(run)).code == 3
    await box.driver.delete(handle.id, handle)


async def test_quick_execs_lose_no_output_and_no_code(box: Box) -> None:
    handle = await box.started("sleep", "60")
    for index in range(30):
        plan = box.exec_plan("sh", "-c", f"echo {index}; exit {index}")
        assert await box.driver.exec_capture(handle, f"e{index}", plan, seconds=20, limit=100) == (
            index,
            b"%d\n" % index,
        )
    assert list((handle.bundle / "execs").iterdir()) == []
    await box.driver.delete(handle.id, handle)


@both
async def test_a_terminal(box: Box, runtime: str) -> None:
    handle = await box.started("sleep", "60", runtime=runtime)
    plan = box.exec_plan(
        "sh",
        "-c",
        'size() { stty size 2>/dev/null; }; until_is() { for i in $(seq 500); do [ "$(size)" = "$1" ] && break; '
        'sleep 0.01; done; size; }; until_is "20 70"; until_is "44 155"',
        tty=True,
        console_size=(20, 70),
    )
    run, attached = await box.driver.exec(handle, "e1", plan, stdin=True, attach=True)
    assert attached is not None
    first = await anext(aiter(attached))
    assert first[1] == b"20 70\r\n"
    for rows, columns in ((33, 99), (34, 100), (44, 155)):  # the last of many counts
        await box.driver.resize(run, rows, columns)
    out, _ = await drain(attached)
    assert out.endswith(b"44 155\r\n")
    assert (await box.driver.wait(run)).code == 0
    await box.driver.delete(handle.id, handle)


async def test_user_folder_and_environment(box: Box) -> None:
    handle = await box.started("sleep", "60")
    plan = box.exec_plan(
        "sh",
        "-c",
        "id -u; id -G; pwd; echo $X; grep CapEff /proc/self/status",
        identity=Identity(uid=1000, gid=1000, groups=(2000,)),
        working_directory="/tmp",
        environment=("PATH=/bin", "X=y"),
    )
    code, out = await box.driver.exec_capture(handle, "e1", plan, seconds=20, limit=1000)
    assert code == 0
    assert out.decode().splitlines() == ["1000", "1000 2000", "/tmp", "y", "CapEff:\t0000000000000000"]
    await box.driver.delete(handle.id, handle)


async def test_capture_ends_at_its_deadline_and_kills(box: Box) -> None:
    handle = await box.started("sleep", "60")
    plan = box.exec_plan("sh", "-c", "echo begun; exec sleep 987")
    code, out = await box.driver.exec_capture(handle, "e1", plan, seconds=0.3, limit=1000)
    assert (code, out) == (-1, b"begun\n")
    rows = (await box.driver.top(handle, "-eo pid,args"))[1]
    assert not [row for row in rows if "987" in row[-1]]
    await box.driver.delete(handle.id, handle)


async def test_capture_keeps_the_first_bytes(box: Box) -> None:
    handle = await box.started("sleep", "60")
    code, out = await box.driver.exec_capture(handle, "e1", box.exec_plan("seq", "100000"), seconds=20, limit=10)
    assert (code, out) == (0, b"1\n2\n3\n4\n5\n")
    await box.driver.delete(handle.id, handle)


async def test_a_signal_reaches_the_exec(box: Box) -> None:
    handle = await box.started("sleep", "60")
    run, _ = await box.driver.exec(handle, "e1", box.exec_plan("sleep", "60"), stdin=False, attach=False)
    box.driver.signal(run, signal.SIGTERM)
    assert (await box.driver.wait(run)).code == 143
    await box.driver.delete(handle.id, handle)


async def test_the_end_of_the_container_ends_its_execs(box: Box) -> None:
    handle = await box.started("sleep", "60")
    run, attached = await box.driver.exec(handle, "e1", box.exec_plan("sleep", "60"), stdin=False, attach=True)
    assert attached is not None
    box.driver.signal(handle, signal.SIGKILL)
    await box.driver.wait(handle)
    assert (await box.driver.wait(run)).code == 137
    attached.close()
    await box.driver.delete(handle.id, handle)


async def test_no_exec_in_an_ended_container(box: Box) -> None:
    handle = await box.started("true")
    await box.driver.wait(handle)
    with pytest.raises(Internal, match="OCI runtime exec failed"):
        await box.driver.exec(handle, "e1", box.exec_plan("true"), stdin=False, attach=True)
    await box.driver.delete(handle.id, handle)


async def test_an_exec_that_hangs_in_a_paused_container(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "EXEC_SECONDS", 0.3)
    handle = await box.started("sleep", "60")
    await box.driver.pause(handle)
    with pytest.raises((Timeout, Internal)):
        await box.driver.exec(handle, "e1", box.exec_plan("true"), stdin=False, attach=False)
    await box.driver.resume(handle)
    await box.driver.delete(handle.id, handle)


async def test_execs_are_found_again(box: Box) -> None:
    handle = await box.started("sleep", "60")
    run, _ = await box.driver.exec(
        handle, "e1", box.exec_plan("sh", "-c", "sleep 0.2; exit 5"), stdin=False, attach=False
    )
    found = box.driver.exec_handle(handle.id, "e1", run.process, run.monitor, handle.runtime)
    assert found == run
    assert is_alive(found.process.pid, start_time(found.process.pid))
    assert (await box.driver.wait(found)).code == 5
    await box.driver.delete(handle.id, handle)
