"""A builder on real blobs, real layers and a real images room, whose steps are carried out by a fake: a RUN makes a
file of its command, a COPY puts whole files of a folder into the layer. The fake counts, and does as told."""

import asyncio
import fnmatch
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from boxship.builder.builder import Builder, BuilderSettings
from boxship.builder.model import BuildEvent, BuildRequest, Built
from boxship.builder.operations import (
    Agents,
    CopyOperation,
    CopySource,
    FolderOperation,
    FolderTree,
    LayerTree,
    RunOperation,
    Said,
    StepFailed,
    Tree,
)
from boxship.content import Content, Garbage, Lease, layer_key
from boxship.errors import NotFound
from boxship.images import Image, Images
from boxship.images.model import Layer
from boxship.snapshots import Snapshots
from boxship.spec import digest as digests
from boxship.spec import reference as references
from boxship.store import Store

Command = Callable[[RunOperation, Said], Awaitable[None]]


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name.lstrip("/"))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


class FakeExecutor:
    """Carries steps out without a container. `commands` by the last argument of a RUN; every call is noted."""

    def __init__(self, content: Content, layers: Snapshots) -> None:
        self._content = content
        self._layers = layers
        self.commands: dict[str, Command] = {}
        self.calls: list[str] = []
        self.checksums = 0
        self.running = 0
        self.most = 0
        self.trees: dict[str | None, dict[str, bytes]] = {None: {}}

    async def _layer(self, base: LayerTree, files: dict[str, bytes], lease: Lease) -> Layer | None:
        below = self.files(base)
        if all(below.get(name) == data for name, data in files.items()):
            return None
        data = tar_of(files)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        chain_id = digests.chain_id(base.chain_id, digest)
        await lease.add(digest)
        await lease.add(layer_key(chain_id))
        await self._content.put(data)
        size = await self._layers.apply(chain_id, base.chain_id, self._content.path(digest), diff_id=digest)
        self.trees[chain_id] = below | files
        return Layer(digest, len(data), digest, chain_id, size)

    def files(self, tree: Tree) -> dict[str, bytes]:
        if isinstance(tree, LayerTree):
            known = self.trees.get(tree.chain_id)
            if known is not None:
                return known
            found: dict[str, bytes] = {}
            for layer in tree.layers:
                with tarfile.open(self._content.path(layer.blob)) as archive:
                    for member in archive:
                        if member.isfile():
                            file = archive.extractfile(member)
                            assert file is not None
                            found["/" + member.name] = file.read()
            return found
        return {
            "/" + str(path.relative_to(tree.path)): path.read_bytes()
            for path in sorted(tree.path.rglob("*"))
            if path.is_file() and not any(fnmatch.fnmatch(str(path.relative_to(tree.path)), p) for p in tree.patterns)
        }

    def _chosen(self, source: CopySource) -> dict[str, bytes]:
        if source.inline is not None:
            return {"/" + source.inline.name: source.inline.content}
        assert source.tree is not None
        files = self.files(source.tree)
        found: dict[str, bytes] = {}
        for wanted in source.selection.paths:
            path = "/" + wanted.strip("/")
            if path in ("/", "/."):
                matched = files
            else:
                matched = {n: d for n, d in files.items() if n == path or n.startswith(path + "/")}
            if not matched and path not in ("/", "/."):
                raise NotFound(f'failed to calculate checksum: "{path}": not found')
            found |= matched
        return found

    async def copy(self, base: LayerTree, operation: CopyOperation, lease: Lease) -> Layer | None:
        self.calls.append(f"copy {operation.destination}")
        files = {}
        for source in operation.sources:
            for name, data in self._chosen(source).items():
                slash = operation.destination.endswith("/")
                files[operation.destination + name.rpartition("/")[2] if slash else operation.destination] = data
        return await self._layer(base, files, lease)

    async def folder(self, base: LayerTree, operation: FolderOperation, lease: Lease) -> Layer | None:
        self.calls.append(f"folder {operation.path}")
        return await self._layer(base, {f"{operation.path}/.made": b""}, lease)

    async def run(
        self, base: LayerTree, operation: RunOperation, said: Said, agents: Agents | None, lease: Lease
    ) -> Layer | None:
        text = operation.arguments[-1]
        self.calls.append(f"run {text}")
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            if text in self.commands:
                await self.commands[text](operation, said)
            return await self._layer(base, {"/ran/" + hashlib.md5(text.encode()).hexdigest(): text.encode()}, lease)
        finally:
            self.running -= 1

    async def checksum(self, source: CopySource, *, parents: bool) -> str:
        self.checksums += 1
        data = sorted(self._chosen(source).items())
        return "sha256:" + hashlib.sha256(repr(data).encode()).hexdigest()

    async def listing(self, source: CopySource, *, parents: bool) -> dict[str, str]:
        return {name[1:]: hashlib.sha256(data).hexdigest()[:8] for name, data in self._chosen(source).items()}

    async def read(self, tree: Tree, path: str, limit: int) -> bytes:
        data = self.files(tree).get("/" + path.lstrip("/"))
        if data is None:
            raise NotFound(f"cannot find {path}")
        return data

    async def export(self, tree: LayerTree, folder: Path | None) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield tar_of(self.files(tree))

        return pieces()


async def fails(operation: RunOperation, said: Said) -> None:
    """A command that ends with code 7."""
    said(2, b"no luck\n")
    raise StepFailed(" ".join(operation.arguments), 7)


class NoVolumes:
    """No cache volumes."""

    async def list(self, *, sizes: bool = True) -> list[Any]:
        return []

    async def remove(self, name: str) -> int:
        raise NotFound(name)


class Workplace:
    """Everything together; can be closed and opened again as after a crash."""

    def __init__(self, root: Path, store: Store, settings: BuilderSettings | None = None) -> None:
        self.root = root
        self.store = store
        self.settings = settings or BuilderSettings()
        self.context = root / "context"
        self.context.mkdir(exist_ok=True)
        self.fetched: Any = None

    async def open(self) -> "Workplace":
        self.content = Content(self.root / "content", self.store)
        self.layers = Snapshots(self.root / "snapshots")
        await self.layers.recover(())
        await self.content.recover()
        self.garbage = Garbage(self.content, self.layers)
        self.images = Images(self.content, self.layers, self.garbage)
        await self.images.recover(())
        self.executor = FakeExecutor(self.content, self.layers)
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._serve())
        await self._ready.wait()
        return self

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self.builder = Builder(
                store=self.store,
                content=self.content,
                garbage=self.garbage,
                images=self.images,
                layers=self.layers,
                executor=self.executor,
                volumes=NoVolumes(),
                fetched=self.fetched,
                tasks=tasks,
                settings=self.settings,
            )
            await self.builder.recover()
            await self.garbage.sweep()
            collector = tasks.create_task(self.garbage.run())
            self._ready.set()
            await self._stop.wait()
            await self.builder.close()
            collector.cancel()

    async def close(self) -> None:
        self._stop.set()
        await self._task
        await self.layers.close()

    async def base_image(self, name: str = "base", **config: Any) -> Image:
        """An image with one file, under a name."""
        changes = [f"ENV {key} {value}" for key, value in config.pop("env", {"PATH": "/bin"}).items()]
        changes += config.pop("changes", [])

        async def data() -> AsyncIterator[bytes]:
            yield tar_of({"etc/base": name.encode()})

        return await self.images.import_tar(data(), references.parse(name).with_default_tag(), changes=changes)

    def write(self, **files: str) -> None:
        """Files of the context; `dockerfile` is the Dockerfile."""
        for name, text in files.items():
            path = self.context / ("Dockerfile" if name == "dockerfile" else name.replace("__", "/").replace("_", "."))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    async def events(self, dockerfile: str = "", **options: Any) -> list[BuildEvent]:
        """Build and collect the events."""
        return [event async for event in self.builder.build(self.request(dockerfile, **options))]

    async def build(self, dockerfile: str = "", **options: Any) -> Built:
        built = (await self.events(dockerfile, **options))[-1]
        assert isinstance(built, Built)
        return built

    async def image(self, dockerfile: str = "", **options: Any) -> Image:
        return await self.images.resolve((await self.build(dockerfile, **options)).image)

    def request(self, dockerfile: str = "", **options: Any) -> BuildRequest:
        options.setdefault("context", FolderTree(self.context))
        if dockerfile:
            options["dockerfile_text"] = dockerfile.encode()
        return BuildRequest(**options)


def of_kind(events: Iterable[BuildEvent], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]
