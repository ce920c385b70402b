"""Pods outlive the process that made them: kill -9 at any moment loses nothing and leaves nothing behind."""

import contextlib
import os
import shutil
import signal
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest
from machine_kit import Remote, request, sandbox

from boxship.cluster.node.runtime import ContainerStatus, Sandbox
from boxship.runtime.driver import Driver
from boxship.sys import cgroup
from daemons import until


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with tempfile.TemporaryDirectory(prefix="bx") as folder:
        made = Remote(Path(folder))
        made.start()
        yield made
        made.stop()


def launched(remote: Remote, uid: str, script: str = "exec sleep 1000", **changes: Any) -> ContainerStatus:
    remote.call("create_sandbox", sandbox(remote.cgroup, uid, **changes))
    made = remote.call("create", request(uid, script))
    remote.call("start", made["id"])
    (box,) = containers(remote, uid)
    return box


def containers(remote: Remote, uid: str = "") -> list[ContainerStatus]:
    return msgspec.convert(remote.call("containers", uid), list[ContainerStatus])


def sandboxes(remote: Remote, uid: str = "") -> list[Sandbox]:
    return msgspec.convert(remote.call("sandboxes", uid), list[Sandbox])


def out(remote: Remote, identifier: str, script: str) -> str:
    code, output = remote.call("run", identifier, ["sh", "-c", script], timeout=10)
    assert code == 0
    return b64decode(output).decode()


def test_pods_are_found_again(remote: Remote) -> None:
    box = launched(remote, "found", "echo before; exec sleep 1000")
    shared = launched(remote, "shared", share_processes=True)
    (before,) = sandboxes(remote, "found")
    remote.call("stop_sandbox", "nobody")
    ended = launched(remote, "ended", "exit 4")
    until(lambda: containers(remote, "ended")[0].phase == "exited", 10, "it ends")
    remote.call("stop_sandbox", "ended")
    remote.kill()
    remote.start()
    assert sandboxes(remote, "found") == [before] and before.ready
    assert containers(remote, "found") == [box]
    assert [each.ready for each in sandboxes(remote)] == [True, True, False]
    (again,) = containers(remote, "ended")
    assert (again.id, again.exit_code, again.phase) == (ended.id, 4, "exited")
    # a container made now joins what was made then
    late = remote.call("create", request("found", "exec sleep 1000", name="late"))
    remote.call("start", late["id"])
    assert before.addresses[0] in out(remote, late["id"], "ip -4 -o addr show eth0")
    side = remote.call("create", request("shared", "exec sleep 2222", name="late"))
    remote.call("start", side["id"])
    assert "sleep 1000" in out(remote, side["id"], "ps")
    assert shared.pid in {each.pid for each in containers(remote, "shared")}
    for uid in ("found", "shared", "ended"):
        remote.call("remove_sandbox", uid, logs=True)
    assert sandboxes(remote) == [] == containers(remote)


def test_without_any_process_the_namespaces_are_gone(remote: Remote) -> None:
    """The mounts that keep them end with the last process of the instance; the pod is told as not ready."""
    launched(remote, "lone", "exit 0")
    until(lambda: containers(remote, "lone")[0].phase == "exited", 10, "it ends")
    (before,) = sandboxes(remote, "lone")
    remote.kill()
    remote.start()
    (after,) = sandboxes(remote, "lone")
    assert not after.ready and after.id == before.id and not after.addresses
    new = remote.call("create_sandbox", sandbox(remote.cgroup, "lone", attempt=1))
    assert new["ready"] and new["id"] != before.id
    assert len(containers(remote, "lone")) == 1
    remote.call("remove_sandbox", "lone", logs=True)


def test_after_the_machine_itself_went_down(remote: Remote) -> None:
    """Nothing is left but what is on the disk: processes, cgroups and the run root are gone."""
    shared = launched(remote, "down", share_processes=True)
    folder = remote.call("mount_image", "down", "busybox:latest")
    remote.kill()
    layout = cgroup.detect()
    cgroup.kill(layout, remote.cgroup)
    for pid in Driver.living_monitors(remote.run):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not list(Driver.living_monitors(remote.run)), 10, "the monitors end")
    cgroup.remove(layout, remote.cgroup)
    shutil.rmtree(remote.run)
    remote.start()
    (pod,) = sandboxes(remote, "down")
    (box,) = containers(remote, "down")
    assert not pod.ready and (box.id, box.phase, box.exit_code) == (shared.id, "exited", 137)
    assert remote.call("mount_image", "down", "busybox:latest") == folder
    remote.call("unmount_images", "down")
    assert remote.call("create_sandbox", sandbox(remote.cgroup, "down", attempt=1))["ready"]
    again = remote.call("create", request("down", "exec sleep 1000", attempt=1))
    remote.call("start", again["id"])
    assert remote.call("audit") == []
    remote.call("remove_sandbox", "down", logs=True)


@pytest.mark.parametrize("method", ["create_sandbox", "remove_sandbox", "stop_sandbox", "create", "start"])
def test_killed_in_the_middle(remote: Remote, method: str) -> None:
    keeper = launched(remote, "keeper")  # its monitor keeps the mounts, so that leftovers would be seen
    layout = cgroup.detect()
    for number, pause in enumerate((0.002, 0.008)):
        uid = f"k{number}"
        wanted = sandbox(remote.cgroup, uid)
        if method == "create_sandbox":
            remote.send(method, wanted)
        elif method == "create":
            remote.call("create_sandbox", wanted)
            remote.send(method, request(uid, "exec sleep 1000"))
        elif method == "start":
            remote.call("create_sandbox", wanted)
            remote.send(method, remote.call("create", request(uid, "exec sleep 1000"))["id"])
        else:
            launched(remote, uid)
            remote.send(method, uid)
        wait(pause)
        remote.kill()
        remote.start()
        remote.call("create_sandbox", sandbox(remote.cgroup, uid, attempt=1))  # whatever was: it can be had
        remote.call("remove_sandbox", uid, logs=True)
        assert sandboxes(remote, uid) == [] == containers(remote, uid)
        assert not cgroup.exists(layout, f"{remote.cgroup}/burstable/pod{uid}")
        assert not list((remote.data / "pods" / "sandboxes").glob(uid))
    assert containers(remote, "keeper") == [keeper]
    assert remote.call("audit") == []
    remote.call("remove_sandbox", "keeper", logs=True)
    assert not list((remote.run / "pods").iterdir()) and not list((remote.run / "shm").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("own_users", [False, True])
def test_killed_at_every_step(remote: Remote, own_users: bool) -> None:
    keeper = launched(remote, "keeper")
    step, lived = -1, False
    while not lived:
        step += 2  # as steps lie within steps, beginnings and ends alike
        uid = f"s{step}"
        lived = remote.lives_through(step, uid, own_users)
        if not lived:
            remote.kill()
            remote.start()
        for pod in sandboxes(remote, uid):
            assert pod.ready or not pod.addresses
        if step % 4 == 1:
            remote.call("create_sandbox", sandbox(remote.cgroup, uid, attempt=2, own_users=own_users))
        clean(remote, uid, f"step {step}")
    assert step > 60
    assert containers(remote, "keeper") == [keeper]
    remote.call("remove_sandbox", "keeper", logs=True)


def clean(remote: Remote, uid: str, when: str) -> None:
    """Nothing of a pod is left once it has been removed."""
    remote.call("remove_sandbox", uid, logs=True)
    assert sandboxes(remote, uid) == [] == containers(remote, uid), when
    assert not cgroup.exists(cgroup.detect(), f"{remote.cgroup}/burstable/pod{uid}"), when
    assert not list((remote.data / "pods").glob(f"*/*{uid}")), when
    assert remote.call("audit") == [], when
    assert not holders(remote), when
    assert remote.call("ranges") == {}, when
    assert not list((remote.run / "mapped").glob("*")) and not mapped_views(remote), when
    pins = [path.name for path in (*(remote.run / "pods").iterdir(), *(remote.run / "shm").iterdir())]
    (keeper,) = sandboxes(remote, "keeper")
    assert all(name.startswith(keeper.id) for name in pins), when


def mapped_views(remote: Remote) -> list[str]:
    """What is shown to users of pods' own, as the machine's daemon sees it."""
    mounts = Path(f"/proc/{Driver.living_monitors(remote.run)[0]}/mountinfo").read_text().splitlines()
    return [line for line in mounts if f"{remote.home}/" in line and "/mapped/" in line.split(" - ")[0]]


def holders(remote: Remote) -> list[str]:
    """The processes that hold process namespaces of this machine's pods: they see its mounts."""
    mine = os.readlink(f"/proc/{Driver.living_monitors(remote.run)[0]}/ns/mnt")
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            marked = folder.name.isdigit() and b"BOXSHIP_POD=" in (folder / "environ").read_bytes()
            if marked and os.readlink(folder / "ns" / "mnt") == mine:
                found.append(folder.name)
    return found


def wait(seconds: float) -> None:
    """The moment of the kill is the point: nothing is waited for."""
    end = monotonic() + seconds
    while monotonic() < end:
        pass
