"""An Execution on real rooms in this process: a mount namespace, overlays, a bridge, crun; nothing left behind."""

import asyncio
import contextlib
import hashlib
import io
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from boxship.builder.execution import Execution
from boxship.builder.execution.settings import Settings
from boxship.builder.operations import (
    Agents,
    CopyOperation,
    CopySource,
    FolderOperation,
    FolderTree,
    LayerTree,
    RunOperation,
    Selection,
)
from boxship.content import Content, Garbage, Lease
from boxship.images.model import Layer
from boxship.network.networks import Networks
from boxship.runtime.driver import Driver
from boxship.snapshots import Snapshots
from boxship.spec.mount import Mount
from boxship.store.sqlite import SqliteStore
from boxship.sys import cgroup
from boxship.sys.mount import mount, mounted_under, unmount

APPLETS = (
    "cat chmod chown cp cut date dd df echo env false find grep head hostname id kill ls ln md5sum mkdir mkfifo mknod "
    "mount mv nc nproc ping ps pwd readlink realpath rm rmdir seq sh sleep sort stat tail tar tee test touch tr true "
    "truncate tty uname wc wget yes"
).split()


def busybox_tar() -> bytes:
    """A small root filesystem."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("home", 0o755)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, mode, 1_500_000_000
            tar.addfile(entry)
        tar.add("/bin/busybox", "bin/busybox", filter=_plain)
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        texts = {
            "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:2000:web:/home/web:/bin/sh\n",
            "etc/group": "root:x:0:\nweb:x:2000:\nstaff:x:50:web\n",
        }
        for name, text in texts.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


class Bench:
    """One instance with its parts."""

    def __init__(self, home: Path, instance: str, parts: dict[str, Any], execution: Execution, lease: Lease) -> None:
        self.home = home
        self.instance = instance
        self.execution = execution
        self.lease = lease
        self.content: Content = parts["content"]
        self.snapshots: Snapshots = parts["snapshots"]
        self.networks: Networks = parts["networks"]
        self.driver: Driver = parts["driver"]
        self.busybox = LayerTree()
        self.said = bytearray()

    async def layer(self, parent: LayerTree, data: bytes) -> LayerTree:
        """A layer of a tar on top of a tree."""
        diff_id = "sha256:" + hashlib.sha256(data).hexdigest()
        chain = diff_id
        if parent.chain_id:
            chain = "sha256:" + hashlib.sha256(f"{parent.chain_id} {diff_id}".encode()).hexdigest()

        async def chunks() -> AsyncIterator[bytes]:
            yield data

        size = await self.snapshots.apply(chain, parent.chain_id, chunks(), diff_id=diff_id)
        return LayerTree((*parent.layers, Layer(diff_id, len(data), diff_id, chain, size)))

    def on(self, base: LayerTree, layer: Layer | None) -> LayerTree:
        assert layer is not None
        assert self.snapshots.has_layer(layer.chain_id)
        assert self.content.exists(layer.blob)
        return LayerTree((*base.layers, layer))

    async def copy(self, base: LayerTree, *sources: CopySource, to: str, **changes: Any) -> LayerTree:
        operation = CopyOperation(sources=sources, destination=to, **changes)
        return self.on(base, await self.execution.copy(base, operation, self.lease))

    async def copy_from(
        self, tree: Any, *paths: str, to: str, base: LayerTree | None = None, **changes: Any
    ) -> LayerTree:
        """Copy paths of a folder or a tree of layers; those of `Selection` and `CopySource` are told apart."""
        if isinstance(tree, Path):
            tree = FolderTree(tree, changes.pop("patterns", ()))
        chosen = {name: changes.pop(name) for name in ("exclude", "follow", "wildcards") if name in changes}
        unpack = changes.pop("unpack", False)
        source = CopySource(tree, Selection(paths, **chosen), unpack=unpack)
        return await self.copy(self.busybox if base is None else base, source, to=to, **changes)

    async def run(
        self, *arguments: str, base: LayerTree | None = None, agents: Agents | None = None, **changes: Any
    ) -> Layer | None:
        """Run a command; what it said is in `said`."""
        self.said.clear()

        def said(stream: int, data: bytes) -> None:
            self.said += data

        operation = RunOperation(arguments=arguments, **changes)
        return await self.execution.run(self.busybox if base is None else base, operation, said, agents, self.lease)

    async def output(self, *arguments: str, **changes: Any) -> str:
        await self.run(*arguments, **changes)
        return self.said.decode(errors="replace")

    async def shell(self, script: str, **changes: Any) -> str:
        return await self.output("/bin/sh", "-c", script, **changes)

    def members(self, layer: Layer) -> dict[str, tarfile.TarInfo]:
        """The entries of a layer's blob."""
        with tarfile.open(self.content.path(layer.blob)) as tar:
            return {entry.name: entry for entry in tar}

    async def seen(self, tree: LayerTree) -> dict[str, tarfile.TarInfo]:
        """What a container on the tree would see."""
        data = b"".join([chunk async for chunk in await self.execution.export(tree, None)])
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return {entry.name: entry for entry in tar}

    async def text(self, tree: LayerTree, path: str) -> str:
        return (await self.execution.read(tree, path, 1 << 20)).decode()

    async def folder(self, base: LayerTree, path: str, **changes: Any) -> Layer | None:
        return await self.execution.folder(base, FolderOperation(path=path, **changes), self.lease)


@contextlib.asynccontextmanager
async def open_bench(settings: Settings | None = None, *, disk_bytes: int = 0) -> AsyncIterator[Bench]:
    """A bench whose end checks that nothing is left; on a disk of its own of that size, where one is given."""
    home = base = Path(tempfile.mkdtemp(prefix="bxe"))
    if disk_bytes:
        home = base / "disk"
        home.mkdir()
        mount(Mount("tmpfs", "disk", str(home), (f"size={disk_bytes}", "mode=755")))
    instance = f"test{secrets.token_hex(4)}"
    store = await SqliteStore.open(home / "state.db")
    content = Content(home / "content", store)
    snapshots = Snapshots(home / "snapshots")
    garbage = Garbage(content, snapshots)
    driver = Driver(home / "run", instance=instance, runtimes={}, default="crun")
    networks = Networks(store, home / "run", instance)
    await content.recover()
    await driver.open()
    await networks.start()
    await networks.recover([])
    execution = Execution(
        home / "builder",
        home / "run",
        content=content,
        snapshots=snapshots,
        driver=driver,
        networks=networks,
        instance=instance,
        settings=settings,
    )
    await execution.recover()
    parts = {"content": content, "snapshots": snapshots, "networks": networks, "driver": driver}
    async with garbage.lease() as lease:
        bench = Bench(home, instance, parts, execution, lease)
        bench.busybox = await bench.layer(LayerTree(), busybox_tar())
        yield bench
    await networks.close()
    await driver.close()
    await snapshots.close()
    await store.close()
    left = [each for each in leftovers(home, driver, instance) if each != str(home)]
    if disk_bytes:
        unmount(home)
    shutil.rmtree(base, ignore_errors=True)
    assert not left, left


def leftovers(home: Path, driver: Driver, instance: str) -> list[str]:
    """What steps left behind."""
    found = [info.target for info in mounted_under(home)]
    for folder in (
        "snapshots/active",
        "snapshots/staging",
        "snapshots/trash",
        "run/builds",
        "run/bundles",
        "content/ingest",
    ):
        if (home / folder).is_dir():
            found += [f"{folder}/{name}" for name in os.listdir(home / folder)]
    found += [str(pid) for pid in Driver.living_monitors(home / "run")]
    found += [str(pid) for pid in cgroup.pids(driver.layout, f"/boxship-{instance}")]
    return found


def context(home: Path, files: dict[str, str | bytes | None]) -> Path:
    """A folder of files; None makes a folder."""
    folder = Path(tempfile.mkdtemp(prefix="context", dir=home))
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def archive(*entries: tuple[Any, ...]) -> bytes:
    """A tar of (name, text, mode, uid, gid): names with a slash at the end are folders, text "-> x" is a symlink,
    "=> x" a hard link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, text, *look in entries:
            entry = tarfile.TarInfo(name.rstrip("/"))
            mode, uid, gid = (*look, *(None, 0, 0)[len(look) :])
            entry.uid, entry.gid, entry.mtime = uid, gid, 1_500_000_000
            entry.mode = mode or (0o755 if name.endswith("/") else 0o644)
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            elif text.startswith(("-> ", "=> ")):
                entry.type = tarfile.SYMTYPE if text.startswith("-") else tarfile.LNKTYPE
                entry.linkname = text[3:]
            else:
                entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()) if entry.isreg() else None)
    return buffer.getvalue()


def command(*line: str) -> None:
    subprocess.run(line, check=True, capture_output=True)


async def settle(condition: Any, seconds: float = 5.0) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
