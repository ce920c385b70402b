"""Pods on a real engine: what their containers share, what is left of them, and what Docker's clients see."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from machine_kit import IMAGE, Machine, clear, request, running_machine

from boxship.cluster.node.runtime import CREATED, EXITED, RUNNING, ContainerRequest, ContainerStatus
from boxship.errors import Conflict, Invalid, NotFound, Timeout, Unavailable
from boxship.spec.container import ContainerSpec, MountRequest, PortRequest, Resources
from boxship.sys import cgroup, namespace
from daemons import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEADLINE = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine(private_mounts: None) -> AsyncIterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="bx") as folder:
        async with running_machine(Path(folder)) as made:
            yield made
            await clear(made)


async def launched(machine: Machine, wanted: ContainerRequest) -> ContainerStatus:
    made = await machine.runtime.create(wanted)
    await machine.runtime.start(made.id)
    return await status(machine, made.id)


async def status(machine: Machine, identifier: str) -> ContainerStatus:
    return next(each for each in await machine.runtime.containers() if each.id == identifier)


async def until_ended(machine: Machine, identifier: str) -> ContainerStatus:
    async with asyncio.timeout(DEADLINE):
        changes = machine.runtime.changes()
        while (now := await status(machine, identifier)).phase != EXITED:
            await anext(changes)
        return now


async def heard(box: ContainerStatus, word: str) -> None:
    """Wait until the container has said it."""
    async with asyncio.timeout(DEADLINE):
        while word not in Path(box.log_path).read_text():
            await asyncio.sleep(0.01)


async def out(machine: Machine, identifier: str, script: str) -> str:
    code, output = await machine.runtime.run(identifier, ("sh", "-c", script), timeout=10)
    assert code == 0, output
    return output.decode()


async def test_containers_share_what_their_pod_has(machine: Machine) -> None:
    runtime = machine.runtime
    whole = {"hostname": "share.share.svc", "domainname": "share.svc"}
    await runtime.create_sandbox(machine.sandbox("whole", **whole))
    assert "\tshare.share.svc share\n" in Path(machine.engine.pods.get("whole").hosts_path).read_text()
    aliases = ("db:10.1.2.3", "store:10.1.2.3", "far:10.4.5.6")
    made = await runtime.create_sandbox(machine.sandbox("share", domainname="share.svc", extra_hosts=aliases))
    assert made.ready and len(made.addresses) == 1
    assert await runtime.create_sandbox(machine.sandbox("share")) == made  # asked twice, done once
    first = await launched(machine, request("share", "echo one; echo two >&2; ipcmk -Q 2>/dev/null; exec sleep 1000"))
    second = await launched(machine, request("share", "exec sleep 1000", name="side"))
    assert (first.phase, first.uid, first.name, first.hash) == (RUNNING, "share", "main", "h1")
    for kind in ("net", "ipc"):
        assert os.readlink(f"/proc/{first.pid}/ns/{kind}") == os.readlink(f"/proc/{second.pid}/ns/{kind}")
        assert os.readlink(f"/proc/{first.pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    assert os.readlink(f"/proc/{first.pid}/ns/pid") != os.readlink(f"/proc/{second.pid}/ns/pid")
    await out(machine, first.id, "echo shared > /dev/shm/file")
    assert await out(machine, second.id, "cat /dev/shm/file") == "shared\n"
    for box in (first, second):
        assert await out(machine, box.id, "hostname; cat /etc/hostname") == "share\nshare\n"
        text = await out(machine, box.id, "cat /etc/resolv.conf")
        assert text == "search default.svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
        hosts = await out(machine, box.id, "cat /etc/hosts")
        assert f"{made.addresses[0]}\tshare.share.svc share\n" in hosts
        assert hosts.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
        assert hosts.endswith("\n\n# Entries added by HostAliases.\n10.1.2.3\tdb\tstore\n10.4.5.6\tfar\n")
        assert await out(machine, box.id, "ip -4 -o addr show eth0 | grep -c " + made.addresses[0]) == "1\n"
    lines = Path(first.log_path).read_text().splitlines()
    assert sorted(line.split(" ", 1)[1] for line in lines) == ["stderr F two", "stdout F one"]
    assert first.log_path == str(machine.data / "pods/logs/default_share_share/main/0.log")
    docker = machine.engine.containers.get("k8s_main_share_default_share_0")
    assert docker.id == first.id and docker.labels["io.kubernetes.pod.namespace"] == "default"
    read = [each.data async for each in machine.engine.attachments.logs(
        docker.id, stdout=True, stderr=False, follow=False, since=0, until=0, tail=None
    )]  # fmt: skip
    assert read == [b"one\n"]


async def test_limits_of_a_pod_and_of_its_containers(machine: Machine) -> None:
    runtime, layout = machine.runtime, machine.engine.system._driver.layout
    group = f"{machine.cgroup}/burstable/podlimits"
    resources = Resources(cpu_shares=512, memory=64 << 20, memory_swap=64 << 20, pids_limit=50)
    await runtime.create_sandbox(machine.sandbox("limits", resources=resources))
    box = await launched(machine, request("limits", "exec sleep 1000", resources=Resources(cpu_shares=100)))

    def limit(name: str, path: str = group) -> int:
        v1, v2 = {"memory": ("memory.limit_in_bytes", "memory.max"), "pids": ("pids.max", "pids.max")}[name]
        return int(cgroup.read(layout, name, path, v2 if layout.is_v2 else v1))

    assert limit("memory") == 64 << 20 and limit("pids") == 50
    assert box.pid in cgroup.pids(layout, f"{group}/{box.id}")
    await runtime.update_sandbox("limits", Resources(memory=96 << 20, memory_swap=96 << 20, pids_limit=60))
    assert limit("memory") == 96 << 20 and limit("pids") == 60
    await runtime.update(box.id, Resources(cpu_shares=200, memory=32 << 20, memory_swap=32 << 20))
    assert limit("memory", f"{group}/{box.id}") == 32 << 20
    assert (await status(machine, box.id)).resources.memory == 32 << 20
    whole, pods = await runtime.usage()
    assert whole.memory_capacity > whole.memory_available > 0 < whole.disk_available < whole.disk_capacity
    used = next(pod for pod in pods if pod.uid == "limits")
    assert used.containers["main"].memory > 0 and used.pod.processes >= 1 and used.containers["main"].cpu > 0
    with pytest.raises(Invalid, match="memory"):
        await runtime.update_sandbox("limits", Resources(memory=1))
    await runtime.remove_sandbox("limits", logs=True)
    assert not cgroup.exists(layout, group)


async def test_ends_and_why(machine: Machine) -> None:
    runtime = machine.runtime
    await runtime.create_sandbox(machine.sandbox("ends"))
    fine = await launched(machine, request("ends", "true", name="fine"))
    wrong = await launched(machine, request("ends", "exit 3", name="wrong"))
    ended = await until_ended(machine, fine.id)
    assert (ended.exit_code, ended.reason, ended.message) == (0, "Completed", "")
    assert 0 < ended.started_at <= ended.finished_at
    ended = await until_ended(machine, wrong.id)
    assert (ended.exit_code, ended.reason) == (3, "Error")
    hungry = "x=0123456789abcdef; while true; do x=$x$x; done"
    limited = Resources(memory=8 << 20, memory_swap=8 << 20)
    eater = await launched(machine, request("ends", hungry, name="eater", resources=limited))
    assert (await until_ended(machine, eater.id)).reason == "OOMKilled"
    missing = await runtime.create(request("ends", "x", name="missing", entrypoint=("/nowhere",)))
    assert missing.phase == CREATED
    with pytest.raises(Exception, match="nowhere"):
        await runtime.start(missing.id)
    failed = await status(machine, missing.id)
    assert (failed.phase, failed.reason, failed.exit_code) == (EXITED, "StartError", 127)
    assert "nowhere" in failed.message
    again = await launched(
        machine, request("ends", "trap 'exit 7' TERM; echo set; while true; do sleep 0.05; done", attempt=1)
    )
    assert again.attempt == 1
    await heard(again, "set")
    await runtime.stop(again.id, grace=30)
    assert (await status(machine, again.id)).exit_code == 7
    await runtime.stop(again.id, grace=30)  # it has ended
    log = Path(again.log_path)
    assert log.exists()
    await runtime.remove(again.id)
    await runtime.remove(again.id)
    assert not log.exists()
    with pytest.raises(NotFound):
        await runtime.start(again.id)


async def test_a_stop_may_be_hurried(machine: Machine) -> None:
    runtime = machine.runtime
    await runtime.create_sandbox(machine.sandbox("stubborn"))
    box = await launched(machine, request("stubborn", "trap '' TERM; echo set; while true; do sleep 0.05; done"))
    await heard(box, "set")
    patient = asyncio.ensure_future(runtime.stop(box.id, grace=600))
    changes = machine.runtime.changes()
    while machine.engine.containers.get(box.id).state.phase.value != "stopping":
        await asyncio.sleep(0)
    await runtime.stop(box.id, grace=0)
    async with asyncio.timeout(DEADLINE):
        await patient
    assert (await status(machine, box.id)).exit_code == 137
    assert await anext(changes) == "stubborn"


async def test_stopped_made_anew_and_removed(machine: Machine) -> None:
    runtime = machine.runtime
    first = await runtime.create_sandbox(machine.sandbox("anew"))
    old = await launched(machine, request("anew", "echo old; exec sleep 1000"))
    await runtime.stop_sandbox("anew")
    await runtime.stop_sandbox("anew")
    (stopped,) = await runtime.sandboxes("anew")
    assert not stopped.ready and stopped.id == first.id and not stopped.addresses
    assert (await status(machine, old.id)).phase == EXITED
    with pytest.raises(NotFound, match="stopped"):
        await launched(machine, request("anew", "true", name="late"))
    second = await runtime.create_sandbox(machine.sandbox("anew", attempt=1))
    assert second.ready and second.id != first.id and second.created_at > first.created_at
    young = await launched(machine, request("anew", "exec sleep 1000", attempt=1))
    assert young.created_at >= second.created_at
    assert {each.attempt for each in await runtime.containers("anew") if each.name == "main"} == {0, 1}
    pod = machine.engine.pods.get("anew")
    await runtime.remove_sandbox("anew")
    await runtime.remove_sandbox("anew")
    assert Path(old.log_path).exists()
    await runtime.remove_sandbox("anew", logs=True)
    assert not Path(old.log_path).parent.parent.exists()
    assert await runtime.sandboxes("anew") == [] == list(await runtime.containers("anew"))
    for path in (pod.network_namespace, pod.ipc_namespace):
        assert not namespace.exists(Path(path)) and not Path(path).exists()
    assert not Path(pod.shared_memory).exists() and not Path(pod.hosts_path).exists()


async def test_settings_of_the_kernel_and_host_ports(machine: Machine) -> None:
    runtime = machine.runtime
    port = free_port()
    settings = {"net.core.somaxconn": "321", "kernel.shm_rmid_forced": "1", "net.ipv4.tcp_syncookies": "0"}
    ports = (PortRequest(80, "tcp", "127.0.0.1", str(port)),)
    await runtime.create_sandbox(machine.sandbox("kernel", sysctls=settings, ports=ports))
    box = await launched(machine, request("kernel", "exec httpd -f -p 80 -h /www", user="1000"))
    shown = await out(machine, box.id, "cd /proc/sys; cat net/core/somaxconn kernel/shm_rmid_forced")
    assert shown == "321\n1\n"
    with pytest.raises(Unavailable, match="already allocated"):
        await runtime.create_sandbox(machine.sandbox("taken", ports=ports))
    assert await runtime.sandboxes("taken") == []
    with pytest.raises(Invalid, match="sysctl net"):
        await runtime.create_sandbox(machine.sandbox("wrong", sysctls={"net.core.nothing": "1"}))
    for name in ("vm.swappiness", "kernel.pid_max", "net/../vm/swappiness"):
        with pytest.raises(Invalid, match="sysctl"):
            await runtime.create_sandbox(machine.sandbox("wrong", sysctls={name: "1"}))
    with pytest.raises(Invalid, match="not of a namespace"):
        await runtime.create_sandbox(machine.sandbox("wrong", host_network=True, sysctls={"net.core.somaxconn": "1"}))
    with pytest.raises(NotFound):
        await runtime.create_sandbox(machine.sandbox("lost", network="nowhere"))
    assert not (machine.data / "pods" / "sandboxes" / "wrong").exists()
    async with asyncio.timeout(DEADLINE):
        while True:
            with contextlib.suppress(Unavailable):
                output, sink = await runtime.connect("kernel", 80)
                break
    await sink.write(b"GET /index.html HTTP/1.0\r\n\r\n")
    assert b"hello from boxship" in b"".join([chunk async for chunk in output])
    await sink.close()
    with pytest.raises(Unavailable):
        await runtime.connect("kernel", 81)


async def test_namespaces_of_the_host_and_of_all(machine: Machine) -> None:
    runtime = machine.runtime
    await runtime.create_sandbox(
        machine.sandbox("host", host_network=True, host_ipc=True, host_pid=True, dns=(), dns_search=(), dns_options=())
    )
    box = await launched(machine, request("host", "exec sleep 1000"))
    for kind in ("net", "ipc", "pid", "uts"):
        assert os.readlink(f"/proc/{box.pid}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}")
    await runtime.create_sandbox(machine.sandbox("all", share_processes=True))
    first = await launched(machine, request("all", "exec sleep 1111"))
    second = await launched(machine, request("all", "exec sleep 2222", name="side"))
    assert "sleep 1111" in await out(machine, second.id, "ps")
    target = await launched(machine, request("share", "exec sleep 3", name="debug", pid_mode="target:main"))
    assert "sleep 1000" in await out(machine, target.id, "ps")
    with pytest.raises(Conflict, match="share the processes of container nobody"):
        await runtime.create(request("share", "true", name="debug2", pid_mode="target:nobody"))
    holder = machine.engine.pods.get("all").holder
    await runtime.stop_sandbox("all")
    assert not Path(f"/proc/{holder.pid}").exists()
    assert [(await status(machine, each.id)).phase for each in (first, second)] == [EXITED, EXITED]


async def test_streams_of_processes(machine: Machine) -> None:
    runtime = machine.runtime
    box = next(each for each in await runtime.containers("share") if each.name == "main")
    exec_id, streams = await runtime.exec(box.id, ("sh", "-c", "cat; echo err >&2; exit 5"), tty=False, stdin=True)
    await streams.write(b"through\n")
    await streams.end_input()
    heard = [(number, data) async for number, data in streams.output()]
    assert b"".join(data for number, data in heard if number == 1) == b"through\n"
    assert b"".join(data for number, data in heard if number == 2) == b"err\n"
    assert await runtime.exit_code(exec_id) == 5
    code, output = await runtime.run(box.id, ("sh", "-c", "head -c 40000 /dev/zero"), timeout=10)
    assert (code, len(output)) == (0, 16384)
    with pytest.raises(Timeout):
        await runtime.run(box.id, ("sleep", "60"), timeout=0.2)
    exec_id, streams = await runtime.exec(
        box.id, ("sh", "-c", "until stty size 2>&1 | grep '33 77'; do sleep 0.02; done"), tty=True, stdin=True
    )
    await runtime.resize(exec_id, 33, 77)
    assert b"33 77" in b"".join([data async for _, data in streams.output()])
    attached = await launched(
        machine, request("share", "read x; echo got $x", name="in", open_stdin=True, stdin_once=True)
    )
    streams = await runtime.attach(attached.id, stdin=True)
    await streams.write(b"this\n")
    assert b"".join([data async for _, data in streams.output()]) == b"got this\n"


async def test_images(machine: Machine) -> None:
    runtime = machine.runtime
    found = await runtime.image(IMAGE)
    assert found is not None and found.local and found.tags == (IMAGE,) and found.size > 0
    assert await runtime.image("nothing:latest") is None
    assert [each.id for each in await runtime.images()] == [found.id]
    with pytest.raises(Conflict, match="uses it"):
        await runtime.remove_image(found.id)
    folder = await runtime.mount_image("share", IMAGE)
    assert folder == await runtime.mount_image("ends", IMAGE)
    mount = MountRequest("bind", "/files", source=folder, read_only=True)
    box = await launched(machine, request("share", "exec sleep 1000", name="files", mounts=(mount,)))
    assert await out(machine, box.id, "cat /files/www/index.html") == "hello from boxship\n"
    code, _ = await runtime.run(box.id, ("touch", "/files/www/new"), timeout=10)
    assert code == 1
    await runtime.unmount_images("share")
    assert Path(folder).is_dir()
    await runtime.unmount_images("ends")
    assert not Path(folder).exists()
    assert await out(machine, box.id, "cat /files/www/index.html") == "hello from boxship\n"


async def test_images_for_users_of_a_pods_own(machine: Machine) -> None:
    """Each such pod has a tree of its own, in which files have the owners that it knows."""
    runtime = machine.runtime
    shared = await runtime.mount_image("ends", IMAGE)
    first = {uid: await runtime.reserve_users(uid) for uid in ("own1", "own2")}
    folders = {uid: await runtime.mount_image(uid, IMAGE) for uid in first}
    assert len({shared, *folders.values()}) == 3 and Path(shared, "bin").stat().st_uid == 0
    for uid, folder in folders.items():
        assert Path(folder, "bin").stat().st_uid == first[uid] == await runtime.reserve_users(uid)
        await runtime.unmount_images(uid)
        await runtime.remove_sandbox(uid)
        assert not Path(folder).exists() and Path(shared, "bin").exists()
    assert await runtime.reserve_users("own3") == first["own1"]  # it is nobody's any more
    await runtime.remove_sandbox("own3")
    await runtime.unmount_images("ends")


async def test_a_container_asked_for_by_the_id_that_was_pulled(machine: Machine) -> None:
    found = await machine.runtime.image(IMAGE)
    assert found is not None
    wanted = ContainerRequest(uid="share", name="byid", image_id=found.id, spec=ContainerSpec(image="gone:1"))
    made = await machine.runtime.create(wanted)
    assert made.image == "gone:1" and made.image_id == found.id
    assert await machine.runtime.create(wanted) == made


async def test_many_at_once_and_removed_in_the_middle(machine: Machine) -> None:
    runtime = machine.runtime

    async def life(number: int) -> None:
        uid = f"many{number}"
        await runtime.create_sandbox(machine.sandbox(uid))
        made = await runtime.create(request(uid, "exec sleep 1000"))
        starting = asyncio.ensure_future(runtime.start(made.id))
        if number % 3:
            await starting
        await runtime.remove_sandbox(uid, logs=True)
        with contextlib.suppress(NotFound, Conflict):
            await starting

    await asyncio.gather(*(life(number) for number in range(12)))
    assert not [each for each in await runtime.sandboxes() if each.spec.uid.startswith("many")]
    assert not [each for each in await runtime.containers() if each.uid.startswith("many")]
    assert await machine.engine.networks._networks.audit() == []
