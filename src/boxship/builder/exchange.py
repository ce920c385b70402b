"""Caches that come from other machines, and those that are made for them. What an import has is fetched only when a
step needs it, and then the step is a hit without container work."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from boxship.builder.cache_ends import (
    MEDIA_CACHE,
    CacheConfig,
    CacheSource,
    Entry,
    FolderCache,
    LocalImageCache,
    RegistryCache,
    entries_of,
)
from boxship.builder.graph import Graph
from boxship.builder.layering import LayerShelf
from boxship.builder.model import BuildRequest, CacheEnd
from boxship.builder.operations import LayerTree
from boxship.builder.sources import BuildImages
from boxship.builder.workshop import Result
from boxship.content import Content, Lease
from boxship.errors import Invalid, NotFound, Unavailable, Unsupported
from boxship.images.model import Layer
from boxship.images.remote.client import Remote
from boxship.images.remote.compressing import Compressor
from boxship.images.remote.credentials import by_domain
from boxship.spec import digest as digests
from boxship.spec import platform as platforms
from boxship.spec import reference as references
from boxship.spec.image import MEDIA_LAYER, MEDIA_MANIFEST, Descriptor, Manifest

INLINE_ARGUMENT = "BUILDKIT_INLINE_CACHE"
MODES = ("min", "max")
COMPRESSIONS = ("uncompressed", "gzip", "zstd")
TRUE, FALSE = ("true", "1"), ("false", "0")
KNOWN = {
    ("inline", "to"): (),
    ("registry", "from"): ("ref",),
    ("registry", "to"): ("ref", "mode", "compression", "oci-mediatypes", "image-manifest", "ignore-error"),
    ("local", "from"): ("src", "digest", "tag"),
    ("local", "to"): ("dest", "mode", "tag", "compression", "oci-mediatypes", "image-manifest", "ignore-error"),
}


def check_caches(request: BuildRequest) -> None:
    """Refuse what is wrong before anything is built. Raises Invalid, Unsupported."""
    for end, way in [(end, "from") for end in request.cache_from] + [(end, "to") for end in request.cache_to]:
        known = KNOWN.get((end.kind, way))
        if known is None:
            raise Unsupported(f"unsupported: cache-{way} type={end.kind}")
        for name, value in end.attributes.items():
            if name not in known:
                raise Unsupported(f"unsupported: cache-{way} attribute {name}")
            if name in ("oci-mediatypes", "image-manifest") and value not in TRUE:
                raise Unsupported(f"unsupported: cache-{way} attribute {name}={value}")
        if end.attributes.get("ignore-error", "false") not in TRUE + FALSE:
            raise Invalid(f"invalid value {end.attributes['ignore-error']} for cache attribute ignore-error")
        if end.attributes.get("mode", "min") not in MODES:
            raise Invalid(f"invalid cache mode {end.attributes['mode']}")
        if end.attributes.get("compression", "gzip") not in COMPRESSIONS:
            raise Invalid(f"unsupported compression type {end.attributes['compression']}")
        if known and not end.attributes.get(known[0]):
            raise Invalid(f"cannot use cache-{way} type={end.kind}: {known[0]} is missing")


def wants_inline(request: BuildRequest) -> bool:
    """Whether the image is to carry its own cache."""
    asked = request.arguments.get(INLINE_ARGUMENT) or ""
    return asked in TRUE or any(end.kind == "inline" for end in request.cache_to)


class Imported(msgspec.Struct, frozen=True):
    """A step that another machine has made. `blob` None: it changed no files."""

    entry: Entry
    source: CacheSource
    blob: Descriptor | None
    diff_id: str = ""


class Imports:
    """The caches that one build was given, by key."""

    def __init__(self) -> None:
        self._found: dict[str, Imported] = {}

    async def add(self, source: CacheSource) -> int:
        """Read a cache's list; how many steps it has. What was added earlier goes first. Raises NotFound, Invalid, …"""
        config, layers = entries_of(*await source.read())
        for entry in config.entries:
            made = entry.layer >= 0
            found = Imported(
                entry,
                source,
                layers[entry.layer] if made else None,
                config.diff_ids[entry.layer] if made else "",
            )
            self._found.setdefault(entry.key, found)
        return len(config.entries)

    def find(self, key: str) -> Imported | None:
        return self._found.get(key)

    async def bring(self, found: Imported, base: LayerTree, shelf: LayerShelf, lease: Lease) -> Layer | None:
        """The step's layer, on what the step stands on."""
        if found.blob is None:
            return None
        await found.source.fetch(found.blob, lease)
        await lease.add(found.blob.digest)
        raw = Layer(found.blob.digest, found.blob.size, found.diff_id, "", 0, found.blob.mediaType)
        return await shelf.rebase(raw, base, lease)


class Exchange:
    """The ways to caches elsewhere."""

    def __init__(self, images: BuildImages, content: Content, remote: Remote | None) -> None:
        self._images = images
        self._content = content
        self._remote = remote
        self._compressor = Compressor(content)

    async def source(self, end: CacheEnd, request: BuildRequest) -> CacheSource:
        """One --cache-from; an image that is here goes before the registry."""
        if end.kind == "local":
            folder = Path(end.attributes["src"])
            return FolderCache(
                folder, self._content, end.attributes.get("tag", "latest"), end.attributes.get("digest", "")
            )
        text = end.attributes.get("ref", "")
        try:
            image = await self._images.resolve(text)
        except NotFound:
            return self._registry(text, request)
        await self._images.admit(text, image)
        layers = tuple(Descriptor(layer.media_type, layer.blob, layer.blob_size) for layer in image.layers)
        return LocalImageCache(self._content, image.id, layers)

    def _registry(self, text: str, request: BuildRequest) -> RegistryCache:
        if self._remote is None:
            raise Unavailable(f"cannot use cache {text}: this builder has no way to registries")
        reference = references.parse(text)
        who = by_domain(request.credentials).get(reference.domain)
        platform = request.platform or platforms.host()
        return RegistryCache(self._remote, self._content, reference, who, platform, self._images.admit_pull)

    async def export(
        self, end: CacheEnd, request: BuildRequest, graph: Graph, results: Mapping[str, Result], lease: Lease
    ) -> None:
        """One --cache-to; not for inline ones. Raises Denied, Unavailable, Invalid."""
        wanted = [step.id for step in graph.lineage()] if end.attributes.get("mode", "min") == "min" else [*results]
        made = [(name, results[name]) for name in wanted if results[name].key]
        local = end.kind == "local"
        kind = end.attributes.get("compression", "uncompressed" if local else "gzip")
        layers = tuple(dict.fromkeys(result.layer for _, result in made if result.layer is not None))
        unique = {layer.diff_id: layer for layer in layers}
        places = {diff_id: number for number, diff_id in enumerate(unique)}
        descriptors = [await self._blob(layer, kind, lease) for layer in unique.values()]
        entries = {
            result.key: Entry(
                result.key,
                places[result.layer.diff_id] if result.layer is not None else -1,
                result.created,
                graph.steps[name].name,
            )
            for name, result in made
        }
        config = msgspec.json.encode(CacheConfig(tuple(entries.values()), tuple(unique)))
        digest = await self._stored(config, lease)
        head = Descriptor(MEDIA_CACHE, digest, len(config))
        manifest = manifest_text(Manifest(head, tuple(descriptors)))
        await self._stored(manifest, lease)
        target: FolderCache | RegistryCache
        if local:
            folder = Path(end.attributes["dest"])
            target = FolderCache(folder, self._content, end.attributes.get("tag", "latest"))
        else:
            target = self._registry(end.attributes["ref"], request)
        await target.write(manifest, (head, *descriptors))

    async def _stored(self, data: bytes, lease: Lease) -> str:
        await lease.add(digests.of_bytes(data))
        return await self._content.put(data)

    async def _blob(self, layer: Layer, kind: str, lease: Lease) -> Descriptor:
        """The blob of a layer as it is sent; it is in the store afterwards."""
        plain = Descriptor(layer.media_type, layer.blob, layer.blob_size)
        if kind == "uncompressed" or layer.media_type != MEDIA_LAYER:
            return plain
        made = await self._compressor.describe(lease, plain, kind)
        await lease.add(made.digest)
        if not self._content.exists(made.digest):
            await self._compressor.make(lease, layer.blob, kind)
        return made


def inline_cache(results: Sequence[Result]) -> dict[str, object]:
    """What an image's config says of the steps that made its layers."""
    tree = results[-1].tree if results else LayerTree()
    assert isinstance(tree, LayerTree)
    places = {layer.chain_id: number for number, layer in enumerate(tree.layers)}
    entries = [
        Entry(result.key, places[result.layer.chain_id] if result.layer is not None else -1, result.created)
        for result in results
        if result.key
    ]
    found = msgspec.to_builtins(CacheConfig(tuple(entries)))
    assert isinstance(found, dict)
    return {"entries": found["entries"]}


def manifest_text(manifest: Manifest) -> bytes:
    """A manifest's bytes, also the fields that have their default."""
    text = {"schemaVersion": 2, "mediaType": MEDIA_MANIFEST} | msgspec.to_builtins(manifest)
    return msgspec.json.encode(text)
