"""An images room on real blobs and a real store; archives made by the tests themselves."""

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from boxship.content import Content, Garbage
from boxship.images import Image, Images, Loaded
from boxship.snapshots import Snapshots
from boxship.store import Store


class Room:
    """The room under test, which can be closed and opened again as after a crash."""

    def __init__(self, root: Path, store: Store) -> None:
        self.root = root
        self.store = store

    async def open(self, uses: Iterable[Any] = ()) -> "Room":
        self.content = Content(self.root / "content", self.store)
        self.layers = Snapshots(self.root / "snapshots")
        await self.layers.recover(())
        await self.content.recover()
        self.garbage = Garbage(self.content, self.layers)
        self.images = Images(self.content, self.layers, self.garbage)
        await self.images.recover(tuple(uses))
        await self.garbage.sweep()
        self.collector = asyncio.create_task(self.garbage.run())
        return self

    async def close(self) -> None:
        self.collector.cancel()
        await asyncio.wait([self.collector])
        await self.layers.close()

    async def load(self, data: bytes, **options: Any) -> list[Loaded]:
        return [step async for step in self.images.load(chunks(data), **options) if isinstance(step, Loaded)]

    async def save(self, *names: str) -> bytes:
        return b"".join([piece async for piece in self.images.save(names)])

    async def names(self) -> dict[str, tuple[str, ...]]:
        return {image.id: image.references for image in await self.images.list()}

    async def kept(self) -> tuple[list[str], list[str]]:
        """The blobs and unpacked layers that are there once everything without use is gone."""
        await self.garbage.settle()
        return list(await self.content.list()), self.layers.layers()

    async def assert_no_waste(self) -> None:
        """Every blob and layer belongs to an image, and every image has all of its own."""
        await self.garbage.settle()
        assert not self.garbage.leases
        images: list[Image] = await self.images.list()
        blobs = {image.id for image in images} | {image.manifest for image in images}
        blobs |= {layer.blob for image in images for layer in image.layers}
        assert set(await self.content.list()) == blobs
        assert set(self.layers.layers()) == {layer.chain_id for image in images for layer in image.layers}
        assert not list((self.root / "content" / "ingest").iterdir())


async def chunks(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def tar(files: dict[str, bytes | tuple[str, str]]) -> bytes:
    """A tar of files by name; ("link", target) or ("symlink", target) make links."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, value in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(value, tuple):
                member.type = tarfile.SYMTYPE if value[0] == "symlink" else tarfile.LNKTYPE
                member.linkname = value[1]
                archive.addfile(member)
            else:
                member.size = len(value)
                archive.addfile(member, io.BytesIO(value))
    return buffer.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def layer(name: str, content: bytes = b"x") -> bytes:
    return tar({name: content})


def config(layers: Iterable[bytes], **fields: Any) -> bytes:
    """An image config for uncompressed layers."""
    layers = list(layers)
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-02T03:04:05.6Z",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha(data)}" for data in layers]},
        "history": [{"created_by": f"step {index}"} for index in range(len(layers))],
    }
    return json.dumps(document | fields).encode()


def docker_archive(*images: tuple[bytes, list[bytes], list[str]]) -> bytes:
    """As Docker before 25 saves: <id>.json, <layer>/layer.tar, manifest.json."""
    files: dict[str, bytes | tuple[str, str]] = {}
    entries = []
    for document, layers, names in images:
        paths = []
        for data in layers:
            files[f"{sha(data)[:20]}/VERSION"] = b"1.0"
            files[f"{sha(data)[:20]}/layer.tar"] = data
            paths.append(f"{sha(data)[:20]}/layer.tar")
        files[f"{sha(document)}.json"] = document
        entries.append({"Config": f"{sha(document)}.json", "RepoTags": names or None, "Layers": paths})
    files["manifest.json"] = json.dumps(entries).encode()
    return tar(files)


def simple(name: str = "app:1", content: bytes = b"x", **fields: Any) -> tuple[bytes, str]:
    """An archive of one image with two layers, and the image's id."""
    layers = [layer("base"), layer("top", content)]
    document = config(layers, **fields)
    return docker_archive((document, layers, [name] if name else [])), f"sha256:{sha(document)}"


class Layout:
    """An OCI layout under construction."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | tuple[str, str]] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
        self.manifests: list[dict[str, Any]] = []

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        self.files[f"blobs/sha256/{sha(data)}"] = data
        return {"mediaType": media_type, "digest": f"sha256:{sha(data)}", "size": len(data)}

    def image(self, layers: list[bytes], *, compress: bool = True, **fields: Any) -> dict[str, Any]:
        """Add an image; its manifest's descriptor."""
        kind = "application/vnd.oci.image.layer.v1.tar"
        blobs = [
            self.blob(gzip.compress(x, mtime=0), f"{kind}+gzip") if compress else self.blob(x, kind) for x in layers
        ]
        document = self.blob(config(layers, **fields), "application/vnd.oci.image.config.v1+json")
        media_type = "application/vnd.oci.image.manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": media_type, "config": document, "layers": blobs}
        return self.blob(json.dumps(manifest).encode(), media_type)

    def index(self, *descriptors: dict[str, Any]) -> dict[str, Any]:
        media_type = "application/vnd.oci.image.index.v1+json"
        document = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(descriptors)}
        return self.blob(json.dumps(document).encode(), media_type)

    def add(self, descriptor: dict[str, Any], **annotations: str) -> None:
        names = {"name": "io.containerd.image.name", "ref": "org.opencontainers.image.ref.name"}
        noted = {names[key]: value for key, value in annotations.items()}
        self.manifests.append(descriptor | ({"annotations": noted} if noted else {}))

    def tar(self) -> bytes:
        index = {"schemaVersion": 2, "manifests": self.manifests}
        return tar(self.files | {"index.json": json.dumps(index).encode()})


@contextlib.asynccontextmanager
async def closing(generator: Any) -> AsyncIterator[Any]:
    try:
        yield generator
    finally:
        await generator.aclose()
