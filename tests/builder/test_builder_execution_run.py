"""RUN for real: what a command sees, what it leaves, and that nothing of the step itself is left."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from execution_kit import Bench, archive, context, open_bench, settle

from boxship.builder.execution.writing import Writing
from boxship.builder.operations import (
    CopySource,
    FolderTree,
    InlineFile,
    LayerTree,
    RunOperation,
    Selection,
    StepFailed,
    StepMount,
)
from boxship.errors import Conflict, Invalid, NotFound, Unsupported
from boxship.spec.container import Resources, Ulimit
from boxship.sys import cgroup


@pytest.fixture
async def bench(private_mounts: None) -> AsyncIterator[Bench]:
    async with open_bench() as opened:
        yield opened


async def test_a_command_that_changes_nothing_makes_no_layer(bench: Bench) -> None:
    assert await bench.run("/bin/true") is None
    assert await bench.run("/bin/sh", "-c", "cat /etc/hosts /etc/resolv.conf >/dev/null; ls / >/dev/null") is None


async def test_what_changed_is_the_layer(bench: Bench) -> None:
    base = await bench.layer(
        bench.busybox,
        archive(("old/", ""), ("old/a", "a"), ("old/b", "b"), ("gone", "g"), ("swap/", ""), ("swap/x", "x")),
    )
    script = (
        "echo new > /n; rm /gone; rm /old/a; chmod 600 /old/b; rm -r /swap; mkdir /swap; echo y > /swap/y; ln /n /n2"
    )
    layer = await bench.run("/bin/sh", "-c", script, base=base)
    assert layer is not None
    entries = bench.members(layer)
    assert set(entries) == {"n", "n2", ".wh.gone", "old", "old/.wh.a", "old/b", "swap", "swap/.wh..wh..opq", "swap/y"}
    assert entries["n2"].islnk() and entries["old/b"].mode == 0o600
    seen = await bench.seen(bench.on(base, layer))
    assert {"n", "n2", "old/b", "swap/y"} <= set(seen)
    assert not {"gone", "old/a", "swap/x"} & set(seen)
    # The blob says the same as the folder: unpacked again it gives the same tree.
    chain = bench.content.path(layer.blob)
    again = await bench.layer(base, chain.read_bytes())
    assert again.layers[-1].chain_id == layer.chain_id


async def test_mount_points_of_the_step_are_in_no_layer(bench: Bench) -> None:
    bare = await bench.layer(LayerTree(), archive(("bin/", ""), ("lib", "-> /bin"), ("var/", "", 0o700)))
    bare = await bench.copy_from(bench.busybox, "bin", to="/bin", base=bare)
    mounts = (
        StepMount(kind="cache", target="/var/cache/deep/x"),
        StepMount(kind="tmpfs", target="/lib/scratch"),
        StepMount(kind="secret", target="/run/secrets/token", content=b"s"),
        StepMount(kind="bind", target="/mnt/tree", tree=bench.busybox, read_only=True),
    )
    assert (
        await bench.run("/bin/sh", "-c", "ls /bin/scratch /var/cache/deep/x /mnt/tree/bin", base=bare, mounts=mounts)
        is None
    )
    layer = await bench.run("/bin/sh", "-c", "rm -f /.dockerenv /etc/mtab; echo x > /var/y", base=bare, mounts=mounts)
    assert layer is not None
    assert set(bench.members(layer)) == {"var", "var/y"}
    assert bench.members(layer)["var"].mode == 0o700


async def test_process_and_surroundings(bench: Bench) -> None:
    assert await bench.shell("id -u; id -G; pwd; echo $HOME $PATH $A", user="web", environment=("A=1",)) == (
        "1000\n2000 50\n/\n/home/web /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin 1\n"
    )
    assert await bench.shell("hostname; grep h.ome /etc/hosts", extra_hosts=("h.ome:10.1.2.3",)) == (
        "buildkitsandbox\n10.1.2.3\th.ome\n"
    )
    assert (await bench.shell("df -k /dev/shm | tail -1", shm_size=8 << 20)).split()[1] == "8192"
    assert "77" in await bench.shell("ulimit -n", ulimits=(Ulimit("nofile", 77, 77),))
    assert await bench.shell("test -t 0; echo $?; cat") == "1\n"
    assert await bench.shell("echo $TOKEN", secrets={"TOKEN": "hidden"}) == "hidden\n"
    assert await bench.output("/bin/echo", "a b", "c") == "a b c\n"


async def test_output_comes_as_it_is_said(bench: Bench) -> None:
    said: list[tuple[int, bytes]] = []
    operation = RunOperation(arguments=("/bin/sh", "-c", "echo out; echo err >&2; head -c 300000 /dev/zero"))
    await bench.execution.run(
        bench.busybox, operation, lambda stream, data: said.append((stream, data)), None, bench.lease
    )
    assert b"".join(data for stream, data in said if stream == 2) == b"err\n"
    assert b"".join(data for stream, data in said if stream == 1) == b"out\n" + bytes(300_000)


async def test_a_missing_working_folder_is_made_and_kept(bench: Bench) -> None:
    layer = await bench.run("/bin/sh", "-c", "pwd; true", working_directory="/srv/app", user="web")
    assert bench.said == b"/srv/app\n" and layer is not None
    entries = bench.members(layer)
    assert set(entries) == {"srv", "srv/app"} and entries["srv/app"].uid == 1000


async def test_failures_have_their_codes(bench: Bench) -> None:
    with pytest.raises(StepFailed) as failed:
        await bench.run("/bin/sh", "-c", "echo x > /f; exit 7")
    assert failed.value.code == 7 and "exit code: 7" in str(failed.value)
    with pytest.raises(StepFailed) as failed:
        await bench.run("/no/such/program")
    assert failed.value.code == 127 and b"no such file" in bench.said
    with pytest.raises(StepFailed) as failed:
        await bench.run("/etc/passwd")
    assert failed.value.code == 126
    with pytest.raises(Invalid, match="unable to find user nobody"):
        await bench.run("/bin/true", user="nobody")
    with pytest.raises(StepFailed) as failed:
        await bench.run("/bin/sh", "-c", "sh -c 'kill -9 $$'; exit $?")
    assert failed.value.code == 137


async def test_a_memory_limit_kills(bench: Bench) -> None:
    with pytest.raises(StepFailed) as failed:
        await bench.run(
            "/bin/sh",
            "-c",
            "head -c 100000000 /dev/zero | tail",
            resources=Resources(memory=16 << 20, memory_swap=16 << 20),
        )
    assert failed.value.code and failed.value.out_of_memory


async def test_rights(bench: Bench) -> None:
    assert await bench.shell("mount -t tmpfs x /tmp 2>/dev/null && echo yes || echo no") == "no\n"
    assert await bench.shell("mount -t tmpfs x /tmp && echo yes", insecure=True) == "yes\n"
    assert await bench.shell("(echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo read-only") == "read-only\n"


async def test_networks(bench: Bench) -> None:
    assert await bench.shell("ls /sys/class/net | sort | tr '\\n' ' '", network="none") == "lo "
    assert "eth0" in await bench.shell("ls /sys/class/net")
    assert (await bench.shell("readlink /proc/self/ns/net", network="host")).strip() == os.readlink("/proc/self/ns/net")
    with pytest.raises(NotFound):
        await bench.run("/bin/true", network="no-such-net")


async def test_bind_mounts(bench: Bench) -> None:
    folder = context(bench.home, {"d/f": "f", "d/ignored": "i", "one": "1"})
    tree = FolderTree(folder, ("**/ignored",))
    mounts = (
        StepMount(kind="bind", target="/in", tree=tree, read_only=True),
        StepMount(kind="bind", target="/single", tree=tree, source="one", read_only=True),
        StepMount(kind="bind", target="/rw", tree=tree, source="/d"),
        StepMount(kind="bind", target="/other", tree=bench.busybox, source="etc"),
        StepMount(kind="bind", target="/ro", tree=bench.busybox, source="/etc/passwd", read_only=True),
    )
    script = (
        "find /in /single /rw -type f | sort; (echo x > /in/d/f) 2>/dev/null || echo ro; echo x > /rw/f"
        "; echo x > /other/new; (echo x > /ro) 2>/dev/null || echo ro"
    )
    said = await bench.shell(script, mounts=mounts)
    assert said == "/in/d/f\n/in/one\n/rw/f\n/single\nro\nro\n"
    assert (folder / "d/f").read_text() == "f"
    assert await bench.run("/bin/sh", "-c", "echo x > /rw/f; echo x > /other/new", mounts=mounts) is None
    for source in ("none", "../../../etc/none"):
        with pytest.raises(NotFound):
            await bench.run("/bin/true", mounts=(StepMount(kind="bind", target="/x", tree=tree, source=source),))
        with pytest.raises(NotFound):
            await bench.run(
                "/bin/true", mounts=(StepMount(kind="bind", target="/x", tree=bench.busybox, source=source),)
            )


async def test_a_mounted_folder_that_changes_is_noticed(bench: Bench) -> None:
    folder = context(bench.home, {"d/f": "one"})
    tree = FolderTree(folder)
    await bench.execution.checksum(CopySource(tree, Selection(("/d",), wildcards=False)), parents=False)
    mount = StepMount(kind="bind", target="/in", tree=tree, source="/d")
    assert await bench.shell("cat /in/f", mounts=(mount,)) == "one"
    (folder / "d/f").write_text("two")
    with pytest.raises(Conflict, match="it changed while the build read it"):
        await bench.run("/bin/true", mounts=(mount,))


async def test_cache_mounts_live_on(bench: Bench) -> None:
    mount = StepMount(kind="cache", target="/c", identifier="one", mode=0o700, uid=1000, gid=50)
    assert (
        await bench.shell("ls -ldn /c | cut -c1-10; id -u; echo a > /c/a", mounts=(mount,), user="web")
        == "drwx------\n1000\n"
    )
    assert await bench.shell("cat /c/a", mounts=(mount,)) == "a\n"
    (cache,) = await bench.execution.caches.list()
    assert (cache.identifier, cache.uses, cache.in_use) == ("one", 2, False) and cache.size > 0
    filled = StepMount(kind="cache", target="/c", identifier="two", tree=bench.busybox, source="/etc")
    assert "web" in await bench.shell("cat /c/passwd; echo more > /c/more", mounts=(filled,))
    assert await bench.shell("cat /c/more", mounts=(filled,)) == "more\n"
    assert await bench.execution.caches.remove(cache.id) > 0
    assert {cache.identifier for cache in await bench.execution.caches.list()} == {"two"}
    with pytest.raises(NotFound):
        await bench.execution.caches.remove(cache.id)
    assert await bench.shell("ls /c", mounts=(mount,)) == ""


async def test_caches_are_shared_private_or_locked(bench: Bench) -> None:
    def mount(sharing: str) -> tuple[StepMount, ...]:
        return (StepMount(kind="cache", target="/c", identifier=sharing, sharing=sharing),)

    async def both(sharing: str, script: str) -> None:
        one = bench.run("/bin/sh", "-c", script, mounts=mount(sharing))
        await asyncio.gather(one, bench.run("/bin/sh", "-c", script, mounts=mount(sharing)))

    wait = "n=0; while [ $n -lt 100 ]; do [ $(ls /c | wc -l) = 2 ] && break; n=$((n+1)); sleep 0.02; done"
    await both("shared", f"touch /c/$$.$RANDOM; {wait}; [ $(ls /c | wc -l) = 2 ]")
    await both("private", "touch /c/$RANDOM; sleep 0.3; [ $(ls /c | wc -l) = 1 ]")
    await both("locked", "mkdir /c/lock || exit 1; sleep 0.2; rmdir /c/lock")
    with pytest.raises(Invalid):
        await bench.run("/bin/true", mounts=(StepMount(kind="cache", target="/c", sharing="mine"),))
    used = [cache for cache in await bench.execution.caches.list() if cache.in_use]
    assert not used


async def test_a_cache_in_use_is_not_removed(bench: Bench) -> None:
    mount = StepMount(kind="cache", target="/c", identifier="busy")
    running = asyncio.ensure_future(bench.run("/bin/sh", "-c", "echo up; sleep 30", mounts=(mount,)))
    await settle(lambda: b"up" in bench.said)
    (cache,) = await bench.execution.caches.list()
    assert cache.in_use
    with pytest.raises(Conflict):
        await bench.execution.caches.remove(cache.id)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await bench.execution.caches.remove(cache.id)


async def test_secrets_are_only_there_meanwhile(bench: Bench) -> None:
    mounts = (
        StepMount(kind="secret", target="/run/secrets/a", content=b"hush", uid=1000, gid=50, mode=0o440),
        StepMount(kind="secret", target="/root/.netrc", content=b"machine"),
        StepMount(kind="secret", target="/not/given"),
    )
    said = await bench.shell(
        "cat /run/secrets/a /root/.netrc; stat -c '%a %u %g' /run/secrets/a /root/.netrc; ls /not || true",
        mounts=mounts,
    )
    assert said.startswith("hushmachine440 1000 50\n400 0 0\nls: /not")
    layer = await bench.run("/bin/sh", "-c", "cp /run/secrets/a /tmp/x; rm /tmp/x; echo k > /tmp/k", mounts=mounts)
    assert layer is not None and set(bench.members(layer)) == {"tmp", "tmp/k"}
    assert b"hush" not in bench.content.path(layer.blob).read_bytes()


async def test_tmpfs_and_here_documents(bench: Bench) -> None:
    mounts = (StepMount(kind="tmpfs", target="/scratch", size=1 << 20),)
    said = await bench.shell("df -k /scratch | tail -1; touch /scratch/x", mounts=mounts)
    assert said.split()[1] == "1024"
    files = (InlineFile("EOF", b"#!/bin/sh\necho from $0\n"), InlineFile("DATA", b"data\n"))
    assert await bench.output("/dev/pipes/EOF", files=files) == "from /dev/pipes/EOF\n"
    assert await bench.shell("cat /dev/pipes/DATA; id -u", files=files, user="web") == "data\n1000\n"
    with pytest.raises(Invalid):
        await bench.run("/bin/true", files=(InlineFile("../../x", b""),))
    with pytest.raises(Unsupported):
        await bench.run("/bin/true", mounts=(StepMount(kind="odd", target="/x"),))


@pytest.mark.parametrize("parent", ["../../../../tmp/x", "/../x/../../y/", "a/./b"])
async def test_a_parent_of_cgroups_is_one(bench: Bench, parent: str) -> None:
    place = bench.execution._commands.cgroup_of("id", parent)
    assert ".." not in place.split("/") and place.endswith("/id") and os.path.normpath(place) == place
    assert bench.execution._commands.cgroup_of("id", "/..") == f"/boxship-{bench.instance}/id"


async def test_a_link_in_place_of_what_is_mounted_is_not_followed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever changes the context at the right moments, twice, gets a link copied where a folder was."""
    folder = context(bench.home, {"secret": "of the machine"})
    os.chmod(folder, 0o751)

    async def lose(writing: object, place: str, tree: object, source: str) -> None:
        os.symlink(folder, f"{place}/content")

    monkeypatch.setattr(Writing, "fill", lose)
    tree = FolderTree(context(bench.home, {"a/b": "c"}))
    for kind in ("bind", "cache"):
        mount = StepMount(kind=kind, target="/x", tree=tree, source="a", uid=7, mode=0o700)
        with pytest.raises(Conflict):
            await bench.run("/bin/cat", "/x/secret", mounts=(mount,))
    found = os.stat(folder)
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o751)


class EchoStream:
    """An agent that answers in capitals."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self, limit: int) -> bytes:
        return await self._answers.get()

    async def write(self, data: bytes) -> None:
        await self._answers.put(data.upper())
        await self._answers.put(b"")

    async def close(self) -> None:
        await self._answers.put(b"")


class EchoAgents:
    def offers(self, identifier: str) -> bool:
        return identifier == "default"

    async def connect(self, identifier: str) -> EchoStream:
        return EchoStream()


async def test_ssh_agents(bench: Bench) -> None:
    mount = StepMount(kind="ssh", target="/run/buildkit/ssh_agent.0", identifier="default", uid=1000, mode=0o600)
    script = "echo $SSH_AUTH_SOCK; ls -ln $SSH_AUTH_SOCK | cut -c1-10; until [ -e /tmp/done ]; do sleep 0.02; done"
    running = asyncio.ensure_future(
        bench.run("/bin/sh", "-c", script, mounts=(mount,), agents=EchoAgents(), user="web")
    )
    await settle(lambda: b"srw" in bench.said)
    assert bench.said == b"/run/buildkit/ssh_agent.0\nsrw-------\n"
    assert not os.stat(bench.home / "run/builds").st_mode & 0o077  # it is for user 1000 of the step, not of the machine
    pid = cgroup.pids(bench.driver.layout, f"/boxship-{bench.instance}")[0]
    reader, writer = await asyncio.open_unix_connection(f"/proc/{pid}/root/run/buildkit/ssh_agent.0")
    writer.write(b"hello")
    assert await reader.read(100) == b"HELLO"
    assert await reader.read(100) == b""
    writer.close()
    open(f"/proc/{pid}/root/tmp/done", "w").close()
    await running
    missing = StepMount(kind="ssh", target="/a", identifier="other")
    with pytest.raises(NotFound):
        await bench.run("/bin/true", mounts=(missing,), agents=EchoAgents())
    with pytest.raises(NotFound):
        await bench.run("/bin/true", mounts=(missing,))


async def test_the_hosts_authorities(bench: Bench) -> None:
    assert await bench.shell("ls /etc/ssl /etc/pki 2>/dev/null || true") == ""
    said = await bench.shell("head -1 $SSL_CERT_FILE $PIP_CERT $NODE_EXTRA_CA_CERTS /etc/ssl/cert.pem", host_ca=True)
    assert said.count("BEGIN CERTIFICATE") == 4
    layer = await bench.run("/bin/sh", "-c", "echo x > /tmp/x", host_ca=True)
    assert layer is not None and set(bench.members(layer)) == {"tmp", "tmp/x"}


async def test_a_package_may_bring_its_own_authorities(bench: Bench) -> None:
    links = [("etc/ssl/certs/ca-certificates.crt", "the image's"), ("etc/ssl/cert.pem", "-> certs/ca-certificates.crt")]
    base = await bench.layer(bench.busybox, archive(*links))
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    assert "BEGIN CERTIFICATE" in await bench.shell("head -1 /etc/ssl/cert.pem", base=base, host_ca=True)
    script = f"echo new > {bundle}.new && mv {bundle}.new {bundle} && head -1 $SSL_CERT_FILE"
    layer = await bench.run("/bin/sh", "-c", script, base=base, host_ca=True)
    assert b"BEGIN CERTIFICATE" in bench.said
    assert await bench.text(bench.on(base, layer), bundle) == "new\n"
    for change in (f"echo more >> {bundle}", f"chmod 600 {bundle}"):
        layer = await bench.run("/bin/sh", "-c", f"{change}; touch /tmp/x", base=base, host_ca=True)
        assert b"warning: changes of /etc/ssl/certs/ca-certificates.crt are not kept" in bench.said
        assert await bench.text(bench.on(base, layer), bundle) == "the image's"
    layer = await bench.run("/bin/rm", bundle, base=base, host_ca=True)
    assert bundle[1:] not in await bench.seen(bench.on(base, layer))


async def test_times_are_bounded_by_the_epoch(bench: Bench) -> None:
    layers = []
    for _ in range(2):
        layer = await bench.run("/bin/sh", "-c", "mkdir /d; echo x > /d/f; ln -s f /d/l", epoch=1_000)
        assert layer is not None
        layers.append(layer)
    assert layers[0].blob == layers[1].blob
    assert {entry.mtime for entry in bench.members(layers[0]).values()} == {1_000}


async def test_a_cancelled_step_leaves_nothing(bench: Bench) -> None:
    mounts = (
        StepMount(kind="bind", target="/b", tree=bench.busybox),
        StepMount(kind="secret", target="/s", content=b"s"),
        StepMount(kind="cache", target="/c", sharing="locked"),
    )
    running = asyncio.ensure_future(bench.run("/bin/sh", "-c", "echo up; sleep 60 & sleep 60", mounts=mounts))
    await settle(lambda: b"up" in bench.said)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await bench.shell("echo again", mounts=mounts) == "again\n"


async def test_a_step_can_be_cancelled_at_any_time(bench: Bench) -> None:
    folder = context(bench.home, {f"f{number}": "x" * 1000 for number in range(200)})
    mounts = (
        StepMount(kind="bind", target="/b", tree=bench.busybox),
        StepMount(kind="bind", target="/d", tree=FolderTree(folder)),
        StepMount(kind="cache", target="/c"),
        StepMount(kind="secret", target="/s", content=b"s"),
    )
    source = CopySource(FolderTree(folder), Selection(("",)))
    for number in range(30):
        delay = 0.004 * number
        running = asyncio.ensure_future(bench.run("/bin/sh", "-c", "echo x > /x; sleep 0.02", mounts=mounts))
        copying = asyncio.ensure_future(bench.copy(bench.busybox, source, to="/n/"))
        await asyncio.wait([running, copying], timeout=delay)
        running.cancel()
        copying.cancel()
        await asyncio.gather(running, copying, return_exceptions=True)
        assert not bench.networks.endpoints(bench.networks.get("bridge").id)


async def test_steps_side_by_side(bench: Bench) -> None:
    layers = await asyncio.gather(*(bench.run("/bin/sh", "-c", f"echo {number} > /n") for number in range(8)))
    assert len({layer.blob for layer in layers if layer}) == 8
    same = await asyncio.gather(*(bench.run("/bin/sh", "-c", "echo x > /n", epoch=5) for _ in range(6)))
    assert len({layer.chain_id for layer in same if layer}) == 1
