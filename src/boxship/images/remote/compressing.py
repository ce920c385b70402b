"""Layers that we have uncompressed, made smaller for the way: always the same bytes of the same layer.

What came out is remembered, so that a layer that a registry has already is not compressed again to learn its name.
"""

import asyncio
import importlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from boxship.content import Content, Lease, open_ingest
from boxship.errors import Unsupported
from boxship.spec.image import MEDIA_LAYER_GZIP, MEDIA_LAYER_ZSTD, Descriptor
from boxship.waiting import in_thread

PREFIX = "transfers/compressed/"
PIECE = 1024 * 1024  # bytes read and written at once
GZIP_LEVEL = 6
ZSTD_LEVEL = 3
MEDIA = {"gzip": MEDIA_LAYER_GZIP, "zstd": MEDIA_LAYER_ZSTD}
REMEMBERED = 4096  # layers


class Compressed(msgspec.Struct, frozen=True):
    """What became of a layer."""

    digest: str
    size: int


class Compressor:
    """Belongs to the loop; the work is done in threads, two at a time."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._known: dict[str, Compressed] = {}
        self._slots = asyncio.Semaphore(2)
        self._loaded = False

    async def describe(self, lease: Lease, layer: Descriptor, kind: str) -> Descriptor:
        """The compressed layer, which is in the store afterwards, or was made before."""
        await self._load()
        known = self._known.get(_key(kind, layer.digest))
        if known is None:
            known = await self.make(lease, layer.digest, kind)
        return Descriptor(MEDIA[kind], known.digest, known.size, layer.annotations)

    async def make(self, lease: Lease, digest: str, kind: str) -> Compressed:
        """Compress into the store, under the lease."""
        async with self._slots:
            ingest = await open_ingest(self._content.begin)
            try:
                await asyncio.to_thread(_compress, self._content.path(digest), kind, ingest.write)
                await lease.add(ingest.digest())
                made = Compressed(ingest.digest(), ingest.size)
                await asyncio.to_thread(ingest.finish)
            finally:
                await in_thread(ingest.abandon)
        await self._remember(_key(kind, digest), made)
        return made

    async def _load(self) -> None:
        if not self._loaded:
            self._loaded = True
            for key, value in (await self._content.references.load((PREFIX,))).items():
                self._known[key.removeprefix(PREFIX)] = msgspec.json.decode(value, type=Compressed)

    async def _remember(self, key: str, made: Compressed) -> None:
        changes: dict[str, bytes | None] = {PREFIX + key: msgspec.json.encode(made)}
        self._known[key] = made
        while len(self._known) > REMEMBERED:
            oldest = next(iter(self._known))
            del self._known[oldest]
            changes[PREFIX + oldest] = None
        await self._content.references.change(changes)


def _key(kind: str, digest: str) -> str:
    """Another version of the library may give other bytes: what an older one made is not asked for again."""
    return f"{kind}-{version_of(kind)}/{digest}"


def version_of(kind: str) -> str:
    """Of the library that compresses in that way."""
    return zlib.ZLIB_RUNTIME_VERSION if kind == "gzip" else str(_zstd().zstd_version)


def _compress(path: Path, kind: str, write: Callable[[bytes], None]) -> None:
    """Blocks. The headers hold no time and no name."""
    gzip = kind == "gzip"
    engine = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31) if gzip else _zstd().ZstdCompressor(level=ZSTD_LEVEL)
    with path.open("rb", buffering=0) as file:
        while data := file.read(PIECE):
            if made := engine.compress(data):
                write(made)
        write(engine.flush())


def _zstd() -> Any:
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise Unsupported("unsupported: zstd compression (it needs the Python package backports.zstd)")
