"""The life of containers by the driver, with the real crun, runc and conmon."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from runtime_kit import Box, drain

from boxship.errors import BoxshipError, Internal, Invalid, Timeout, Unsupported
from boxship.runtime import conmon, launching
from boxship.runtime.clearing import cgroup_of
from boxship.runtime.config import render
from boxship.runtime.driver import Driver
from boxship.runtime.failures import Unrunnable
from boxship.runtime.plan import HOST, Identity, Namespaces
from boxship.spec.container import Resources, Ulimit
from boxship.spec.mount import Mount
from boxship.sys import cgroup
from boxship.sys.pidfd import is_alive
from boxship.sys.spawn import run

both = pytest.mark.parametrize("runtime", ["crun", "runc"])


@both
async def test_run_to_the_end(box: Box, runtime: str) -> None:
    ended, out, error = await box.run("sh", "-c", "echo out; echo err >&2; exit 7", runtime=runtime)
    assert (ended.code, out, error) == (7, b"out\n", b"err\n")
    assert abs(ended.finished_at - time.time_ns()) < 60_000_000_000
    assert not ended.monitor_lost
    assert not ended.oom_killed


@both
async def test_a_signal_is_an_exit_code(box: Box, runtime: str) -> None:
    handle = await box.started("sleep", "100", runtime=runtime)
    box.driver.signal(handle, signal.SIGKILL)
    assert (await box.driver.wait(handle)).code == 137
    box.driver.signal(handle, signal.SIGKILL)
    await box.driver.delete(handle.id, handle)


@both
async def test_many_wait_and_delete_repeats(box: Box, runtime: str) -> None:
    handle = await box.started("true", runtime=runtime)
    ends = await asyncio.gather(*(box.driver.wait(handle) for _ in range(5)))
    assert {end.code for end in ends} == {0}
    assert (await box.driver.wait(handle)).code == 0
    for _ in range(2):
        await box.driver.delete(handle.id, handle)
        await box.driver.delete(handle.id, None)
    assert not cgroup.exists(box.driver.layout, handle.cgroup)


@both
@pytest.mark.parametrize(
    ("program", "code", "text"),
    [
        ("nope", 127, 'exec: "nope": executable file not found in $PATH: unknown'),
        ("/bin/nope", 127, 'exec: "/bin/nope": stat /bin/nope: no such file or directory: unknown'),
        ("/etc/plain/x", 127, "not a directory: unknown"),
        ("/etc/plain", 126, 'exec: "/etc/plain": permission denied: unknown'),
        ("/etc", 126, 'exec: "/etc": permission denied: unknown'),
    ],
)
async def test_programs_that_cannot_be_run(box: Box, runtime: str, program: str, code: int, text: str) -> None:
    with pytest.raises(Unrunnable) as raised:
        await box.create(program, runtime=runtime)
    assert str(raised.value).startswith("OCI runtime create failed: ")
    assert str(raised.value).endswith(text)
    assert raised.value.exit_code == code
    handle = await box.started("sleep", "60", runtime=runtime)
    with pytest.raises(Unrunnable) as raised:
        await box.driver.exec(handle, "e1", box.exec_plan(program), stdin=False, attach=True)
    assert str(raised.value).startswith("OCI runtime exec failed: ")
    assert str(raised.value).endswith(text)
    assert raised.value.exit_code == code
    assert not (handle.bundle / "execs/e1").exists()
    await box.driver.delete(handle.id, handle)


@both
async def test_a_failed_create_leaves_nothing(box: Box, runtime: str) -> None:
    plan = box.plan("true", mounts=(Mount("bind", "/no/such/file", "/mnt"),))
    with pytest.raises(Internal, match="/no/such/file"):
        await box.create(plan=plan, runtime=runtime)
    assert not box.bundle(plan.id).exists()
    assert not cgroup.exists(box.driver.layout, plan.cgroup_path)
    assert not (box.root / "runtimes" / runtime / plan.id).exists()


async def test_defaults_that_a_process_finds(box: Box) -> None:
    script = """
        id -u; id -g; pwd; hostname; tty; nproc > /dev/null; cat /proc/1/comm
        grep -c . /proc/self/mountinfo > /dev/null
        { echo 1 > /proc/sys/kernel/printk; } 2>/dev/null && echo writable; touch /sys/x 2>/dev/null && echo sysfs
        test -s /proc/kcore && echo kcore; test -e /dev/kmsg && echo kmsg
        grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status
        stat -c '%a %n' /dev/shm /dev/pts/ptmx
        mknod /tmp/disk b 8 0 && dd if=/tmp/disk of=/dev/null count=1 2>&1 | head -1; rm -f /tmp/disk
    """
    plan = box.plan("sh", "-c", script)
    ended, out, error = await box.run(plan=plan)
    assert ended.code == 0, (out, error)
    lines = out.decode().splitlines()
    assert lines[:6] == ["0", "0", "/", plan.hostname, "not a tty", "sh"]
    assert "CapEff:\t00000000a80425fb" in lines
    assert "Seccomp:\t2" in lines
    assert not {"writable", "sysfs", "kcore", "kmsg"} & set(lines)
    assert "1777 /dev/shm" in lines
    assert any("Operation not permitted" in line for line in lines), "an unlisted device cannot be opened"


@both
async def test_the_filter_holds_in_containers_and_execs(box: Box, runtime: str) -> None:
    script = "unshare -U true && echo unshared; mount -t tmpfs x /tmp && echo mounted; grep Seccomp: /proc/self/status"
    _, out, _ = await box.run("sh", "-c", script, runtime=runtime)
    assert out == b"Seccomp:\t2\n"
    handle = await box.started("sleep", "60", runtime=runtime)
    code, out = await box.driver.exec_capture(handle, "e", box.exec_plan("sh", "-c", script), seconds=20, limit=9999)
    assert b"unshared" not in out
    assert b"mounted" not in out
    assert b"Seccomp:\t2\n" in out
    assert code == 0
    await box.driver.delete(handle.id, handle)


@both
async def test_users_groups_and_folders(box: Box, runtime: str) -> None:
    ended, out, _ = await box.run(
        "sh",
        "-c",
        "id; pwd; grep CapEff /proc/self/status",
        runtime=runtime,
        identity=Identity(uid=1000, gid=1000, groups=(2000,)),
        working_directory="/tmp",
    )
    assert ended.code == 0
    lines = out.decode().splitlines()
    assert lines[0] == "uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)"
    assert lines[1:] == ["/tmp", "CapEff:\t0000000000000000"]


@both
async def test_namespaces_of_the_machine_and_of_another(box: Box, runtime: str) -> None:
    first = await box.started("sleep", "60", runtime=runtime)
    pid = first.process.pid
    joined = Namespaces(
        network=f"/proc/{pid}/ns/net", ipc=f"/proc/{pid}/ns/ipc", pid=f"/proc/{pid}/ns/pid", uts=HOST, cgroup=HOST
    )
    script = "for n in net ipc pid uts; do readlink /proc/self/ns/$n 2>/dev/null || ls -l /proc/self/ns/$n; done"
    _, out, _ = await box.run("sh", "-c", script, runtime=runtime, namespaces=joined)
    for kind in ("net", "ipc", "pid"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}").encode() in out
    assert os.readlink("/proc/self/ns/uts").encode() in out
    await box.driver.delete(first.id, first)


async def test_the_ipc_namespace_of_the_machine(box: Box) -> None:
    _, out, error = await box.run("readlink", "/proc/self/ns/ipc", namespaces=Namespaces(ipc=HOST), shm="/dev/shm")
    assert out.decode().strip() == os.readlink("/proc/self/ns/ipc"), error


async def test_mounts_read_only_and_replaced(box: Box, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("shared\n")
    _, out, _ = await box.run(
        "sh",
        "-c",
        "cat /mnt/file; touch /mnt/x || echo kept; touch /x || echo fixed; touch /dev/shm/x && echo shm; df() { :; };"
        "grep ' /tmp ' /proc/mounts | cut -d' ' -f3",
        read_only=True,
        mounts=(
            Mount("bind", str(tmp_path), "/mnt", ("rbind", "ro", "rprivate")),
            Mount("tmpfs", "tmpfs", "/tmp", ("nosuid", "size=1m")),
        ),
    )
    assert out.startswith(b"shared\nkept\nfixed\nshm\n")


@both
async def test_an_init_program_reaps(box: Box, runtime: str) -> None:
    if not box.driver.init_binary:
        pytest.skip("no static init program is installed")
    _, out, error = await box.run("sh", "-c", "echo $$; cat /proc/1/cmdline", init=True, runtime=runtime)
    assert not error
    assert int(out.split()[0]) > 1
    assert b"/sbin/docker-init" in out


@both
async def test_a_private_network_has_only_loopback(box: Box, runtime: str) -> None:
    _, out, _ = await box.run("ls", "/sys/class/net", runtime=runtime)
    assert out.split() == [b"lo"]


async def test_limits_in_force(box: Box) -> None:
    _, out, _ = await box.run(
        "sh",
        "-c",
        "ulimit -n; ulimit -c",
        ulimits=(Ulimit("nofile", 99, 100), Ulimit("core", 0, 0)),
        resources=Resources(memory=64 << 20),
    )
    assert out.split() == [b"99", b"0"]
    ended, _, _ = await box.run("sh", "-c", "x=$(yes | head -c 90000000)", resources=Resources(memory=8 << 20))
    assert ended.oom_killed
    assert ended.code == 137


async def test_what_may_not_be_raised_is_a_warning(box: Box) -> None:
    rights = Path("/proc/self/status").read_text()
    mask = int(next(line for line in rights.splitlines() if line.startswith("CapBnd")).split()[1], 16)
    if mask >> 24 & 1:
        pytest.skip("with CAP_SYS_RESOURCE limits may be raised")
    handle = await box.create("true", ulimits=(Ulimit("nofile", 1 << 40, 1 << 40),), oom_score_adjustment=-999)
    assert [warning.split(":")[0] for warning in handle.warnings] == ["ulimit nofile", "oom_score_adj"]
    await box.driver.delete(handle.id, handle)


async def test_unknown_runtimes_are_refused(box: Box) -> None:
    with pytest.raises(Invalid, match="unknown or invalid runtime name: kata"):
        await box.create("true", runtime="kata")


async def test_a_log_path_with_a_colon_is_refused(box: Box) -> None:
    plan = box.plan("true")
    with pytest.raises(Unsupported, match="colon"):
        await box.driver.create(
            plan.id,
            render(plan, box.driver.layout),
            runtime="crun",
            bundle=box.bundle(plan.id),
            log_path="/tmp/a:b",
            tty=False,
            stdin=False,
            stdin_once=False,
        )


def runtime_program(folder: Path, text: str) -> Path:
    path = folder / "crun"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_a_hanging_runtime_is_taken_back(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "CREATE_SECONDS", 0.3)
    slow = Driver(
        box.root,
        instance=box.instance,
        runtimes={"slow": runtime_program(tmp_path, "exec sleep 98765.4")},
        default="crun",
    )
    plan = box.plan("true")
    box.driver, kept = slow, box.driver
    begin = time.monotonic()
    with pytest.raises(Timeout, match=r"cannot create container \w+: the runtime did not answer within 0\.3 s"):
        await box.create(plan=plan, runtime="slow")
    assert time.monotonic() - begin < 5
    box.driver = kept
    assert not box.bundle(plan.id).exists()
    assert list(conmon.living(box.root / "bundles")) == []
    done = await run(["ps", "-eo", "args"], timeout=5)
    assert b"sleep 98765.4" not in done.stdout


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'a b c' >&2; exit 1", "OCI runtime create failed: a b c: unknown"),
        ("exit 1", "OCI runtime create failed: the runtime ended without a message: unknown"),
        ("kill -9 $$", "OCI runtime create failed: the runtime ended without a message: unknown"),
        ("exit 0", "OCI runtime create failed: "),
    ],
)
async def test_a_failing_runtime(box: Box, tmp_path: Path, script: str, message: str) -> None:
    odd = Driver(box.root, instance=box.instance, runtimes={"odd": runtime_program(tmp_path, script)}, default="crun")
    box.driver, kept = odd, box.driver
    with pytest.raises(BoxshipError) as raised:
        await box.create("true", runtime="odd")
    box.driver = kept
    assert str(raised.value).startswith(message)


async def test_a_cancelled_create_is_taken_back(box: Box) -> None:
    for delay in (0.0, 0.001, 0.003, 0.006, 0.009):
        plan = box.plan("sleep", "60")
        task = asyncio.create_task(box.create(plan=plan))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not box.bundle(plan.id).exists(), delay
        assert not cgroup.exists(box.driver.layout, plan.cgroup_path), delay


async def test_start_by_the_program_when_the_fifo_is_not_there(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick start writes crun's fifo itself; where that is not possible, `crun start` does it."""
    monkeypatch.setattr(Driver, "_release", lambda *_: False)
    handle = await box.started("true")
    assert (await box.driver.wait(handle)).code == 0
    await box.driver.delete(handle.id, handle)


async def test_both_ways_of_starting_leave_crun_the_same_state(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = await box.started("sleep", "60")
    monkeypatch.setattr(Driver, "_release", lambda *_: False)
    program = await box.started("sleep", "60")
    for handle in (quick, program):
        state = box.root / "runtimes/crun"
        done = await run(["crun", "--root", str(state), "state", handle.id], timeout=5)
        assert b'"status": "running"' in done.stdout
        assert not (state / handle.id / "exec.fifo").exists()
        await box.driver.delete(handle.id, handle)


@both
async def test_start_of_a_container_that_has_ended_is_an_error(box: Box, runtime: str) -> None:
    handle = await box.create("true", runtime=runtime)
    os.kill(handle.process.pid, signal.SIGKILL)
    await box.driver.wait(handle)
    with pytest.raises(Internal, match="OCI runtime start failed"):
        await box.driver.start(handle)
    await box.driver.delete(handle.id, handle)


@both
async def test_children_of_an_ended_process_are_killed(box: Box, runtime: str) -> None:
    """With the machine's pid namespace nobody else ends them."""
    handle = await box.started(
        "sh", "-c", "sleep 61 & echo $!", runtime=runtime, namespaces=Namespaces(pid=HOST), log=False
    )
    assert (await box.driver.wait(handle)).code == 0
    left = cgroup.pids(box.driver.layout, handle.cgroup)
    assert len(left) == 1
    await box.driver.delete(handle.id, handle)
    assert not is_alive(left[0], 0)
    assert not cgroup.exists(box.driver.layout, handle.cgroup)


async def test_nothing_is_left_in_the_working_folder(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """conmon writes a file `oom` where it stands."""
    monkeypatch.chdir(tmp_path)
    ended, _, _ = await box.run("sh", "-c", "x=$(yes | head -c 90000000)", resources=Resources(memory=8 << 20))
    assert ended.oom_killed
    assert list(tmp_path.iterdir()) == []
    assert Path.cwd() == tmp_path


async def test_the_cgroup_is_found_in_the_bundle(box: Box) -> None:
    handle = await box.create("true")
    assert cgroup_of(handle.bundle) == handle.cgroup
    await box.driver.delete(handle.id, None)
    assert cgroup_of(handle.bundle) == ""


async def test_twenty_at_once(box: Box) -> None:
    ends = await asyncio.gather(*(box.run("sh", "-c", f"echo {index}; exit {index}") for index in range(20)))
    assert [(ended.code, out) for ended, out, _ in ends] == [(index, b"%d\n" % index) for index in range(20)]


async def test_the_log_has_all_output(box: Box) -> None:
    plan = box.plan("sh", "-c", "echo out; echo err >&2")
    handle = await box.started(plan=plan)
    await box.driver.wait(handle)
    lines = sorted(line.split(" ", 1)[1] for line in box.log(plan.id).read_text().splitlines())
    assert lines == ["stderr F err", "stdout F out"]
    assert "+00:00 " in box.log(plan.id).read_text()
    await box.driver.delete(handle.id, handle)


async def test_output_goes_on_into_a_reopened_log(box: Box) -> None:
    plan = box.plan("sh", "-c", "echo one; read x; echo two")
    handle = await box.create(plan=plan, stdin=True)
    attached = await box.driver.connect(handle)
    await box.driver.start(handle)
    assert await anext(aiter(attached)) == (1, b"one\n")
    log = box.log(plan.id)
    old = log.with_suffix(".1")
    log.rename(old)
    await box.driver.reopen_log(handle)
    assert log.exists()
    await attached.write(b"\n")
    await drain(attached)
    await box.driver.wait(handle)
    assert old.read_text().endswith("one\n")
    assert log.read_text().endswith("two\n")
    await box.driver.delete(handle.id, handle)
