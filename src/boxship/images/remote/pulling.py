"""A pull: from a name to an image that is unpacked and named. Nothing has a name before all of it is here, verified.

Layers are fetched side by side, and each is unpacked as soon as it and the ones below it are there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from boxship.content import Content, Garbage, Lease, layer_key
from boxship.errors import BoxshipError, Conflict, Denied, Invalid, NotFound, Unavailable
from boxship.errors import Timeout as TimedOut
from boxship.images.catalog import Catalog
from boxship.images.documents import DOCUMENT_LIMIT, parse_config
from boxship.images.intake import Blob
from boxship.images.loading import Ready
from boxship.images.model import Layer, Layers, Loaded, Record, Target
from boxship.images.remote.client import Remote
from boxship.images.remote.failures import ManifestMissing, RepositoryMissing
from boxship.images.remote.fetching import Downloads, Place, Source
from boxship.images.remote.foreign import ForeignAddress
from boxship.images.remote.keeping import Keeper
from boxship.images.remote.manifests import (
    INDEXES,
    SMALL_BYTES,
    check_image,
    choose,
    is_foreign,
    read_aside,
    read_index,
    read_manifest,
)
from boxship.images.remote.model import Credentials, Document, Pulled, PullStep
from boxship.images.remote.news import Pace
from boxship.images.remote.repository import Repository
from boxship.images.remote.searching import layers_of
from boxship.images.unpack import Place as LayerPlace
from boxship.images.unpack import places, unpack
from boxship.pki.payloads import Signature
from boxship.spec import digest as digests
from boxship.spec import platform as platforms
from boxship.spec.image import Descriptor, ImageConfig, Manifest, Platform
from boxship.spec.reference import Reference
from boxship.waiting.together import together

INDEX_DEPTH = 4  # indexes inside indexes
FOREIGN_ADDRESSES = 8  # of one layer that are tried
Tell = Callable[[PullStep | Pulled], None]


class Judge(Protocol):
    """Says whether an image may be used, and keeps its signatures when it is here."""

    async def admit(
        self, reference: Reference, manifest_digest: str, repositories: Sequence[Repository]
    ) -> Sequence[Signature] | None:
        """The signatures, where they had to be looked for. Raises Denied."""

    async def keep(
        self, manifest_digest: str, repositories: Sequence[Repository], found: Sequence[Signature] | None
    ) -> None: ...


class Chosen(msgspec.Struct, frozen=True):
    """What a name led to: the manifest of one image, and the documents on the way there, the outermost first."""

    documents: tuple[Document, ...]
    manifest: Manifest

    @property
    def digest(self) -> str:
        """What the name stands for."""
        return self.documents[0].digest

    @property
    def manifest_digest(self) -> str:
        return self.documents[-1].digest


class Puller:
    """Pulls for the images room. `settle` makes a record and names of what is ready."""

    def __init__(
        self,
        content: Content,
        layers: Layers,
        garbage: Garbage,
        catalog: Catalog,
        settle: Callable[[Ready], Awaitable[Loaded]],
        remote: Remote,
        judge: Judge,
    ) -> None:
        self._content = content
        self._layers = layers
        self._garbage = garbage
        self._catalog = catalog
        self._settle = settle
        self._remote = remote
        self._judge = judge
        self.keeper = Keeper(content, garbage)
        self.downloads = Downloads(content, remote.settings.limits, self.keeper.keep, remote.sleep)

    async def pull(
        self,
        reference: Reference,
        platform: Platform | None,
        credentials: Credentials | None,
        every_tag: bool,
        tell: Tell,
    ) -> None:
        """Pull a name, or every tag of its repository. Errors have Docker's texts."""
        repositories = await self._remote.repositories(reference, credentials)
        wanted = [reference.with_default_tag()]
        try:
            if every_tag:
                tags = await self._remote.first(repositories, lambda repository: repository.tags())
                wanted = [msgspec.structs.replace(reference, tag=tag, digest="") for tag in sorted(tags)]
            await self.keeper.expire()
            for name in wanted:
                await self._pull_one(name, repositories, platform, tell)
        except (Denied, RepositoryMissing) as error:
            if isinstance(error, Denied) and not str(error).startswith("denied"):
                raise
            shown = reference.familiar_name
            raise NotFound(
                f"pull access denied for {shown}, repository does not exist or may require 'docker login': {error}"
            ) from error
        except ManifestMissing as error:
            raise NotFound(f"manifest for {wanted[0].familiar} not found: {error}") from error

    async def _pull_one(
        self, reference: Reference, repositories: Sequence[Repository], platform: Platform | None, tell: Tell
    ) -> None:
        wanted = reference.digest or reference.tag
        top, place = await self._remote.first(repositories, lambda repository: _from(repository, wanted))
        tell(PullStep(f"Pulling from {reference.path}", id=reference.digest or reference.tag))
        chosen = await self._choose(top, repositories, platform, reference)
        names = [f"{reference.name}@{chosen.digest}"]
        if not reference.digest:
            names.insert(0, str(reference))
        known = self._catalog.target(names[0])
        signatures = await self._judge.admit(reference, chosen.digest, repositories)
        async with self._garbage.lease() as lease:
            pull = _Image(self, lease, repositories, tell, reference.domain)
            try:
                ready = await pull.run(chosen, platform, tuple(names), reference)
                loaded = await self._settle(ready)
            except (Unavailable, TimedOut):
                raise
            except BoxshipError:
                await self.keeper.drop(pull.kept)  # a second try would find the same
                raise
            await self.keeper.drop(pull.kept)
        newer = known is None or known.digest != chosen.digest or known.image != loaded.image_id
        if newer or signatures:  # those may have been made since
            await self._judge.keep(chosen.digest, (place,), signatures)
        tell(PullStep(f"Digest: {chosen.digest}"))
        word = "Downloaded newer image" if newer else "Image is up to date"
        tell(PullStep(f"Status: {word} for {reference.familiar}"))
        tell(Pulled(reference, chosen.digest, loaded.image_id))

    async def _manifest(self, repositories: Sequence[Repository], wanted: str) -> Document:
        return await self._remote.first(repositories, lambda repository: repository.manifest(wanted))

    async def _choose(
        self, top: Document, repositories: Sequence[Repository], platform: Platform | None, reference: Reference
    ) -> Chosen:
        """Down through indexes to one manifest. Raises NotFound where nothing fits the platform."""
        documents = [top]
        while documents[-1].media_type in INDEXES:
            if len(documents) > INDEX_DEPTH:
                raise Invalid(f"cannot pull {reference.familiar}: indexes are nested too deep")
            entry = choose(await read_aside(read_index, documents[-1]), platform, reference.familiar)
            found = await self._manifest(repositories, entry.digest)
            if entry.size != len(found.data):
                raise Invalid(
                    f"cannot pull {reference.familiar}: manifest {entry.digest} has {len(found.data)} bytes instead of "
                    f"{entry.size}"
                )
            documents.append(found)
        manifest = await read_aside(read_manifest, documents[-1])
        check_image(manifest)
        return Chosen(tuple(documents), manifest)

    # what one image needs of us

    async def config(self, lease: Lease, repositories: Sequence[Repository], part: Descriptor) -> bytes:
        """The config's bytes, which are in the store then."""
        await lease.add(part.digest)
        if self._content.exists(part.digest):
            return await self._content.read(part.digest, DOCUMENT_LIMIT)
        if part.size > DOCUMENT_LIMIT:
            raise Invalid(f"cannot read image config {part.digest}: it has more than {DOCUMENT_LIMIT} bytes")
        data = await self._remote.first(repositories, lambda place: place.small_blob(part.digest, part.size))
        if len(data) != part.size:
            raise Invalid(f"cannot read image config {part.digest}: it has {len(data)} bytes instead of {part.size}")
        await self.store(lease, part.digest, data)
        return data

    async def store(self, lease: Lease, digest: str, data: bytes) -> None:
        """Put a verified document into the store."""
        await lease.add(digest)
        if not self._content.exists(digest):
            await self._content.ingest(_once(data), expected=digest, size=len(data))

    def source(self, domain: str, repositories: Sequence[Repository], layer: Descriptor) -> Source:
        found: list[Place] = list(repositories)
        if is_foreign(layer):
            found += [ForeignAddress(self._remote, url) for url in layer.urls[:FOREIGN_ADDRESSES]]
        return Source(domain, found)

    def whole(self, identifier: str) -> bool:
        """Whether an image of that id is here, with all its parts."""
        if not self._catalog.has(identifier):
            return False
        record = self._catalog.record(identifier)
        return all(
            self._content.exists(layer.blob) and self._layers.has_layer(layer.chain_id) for layer in record.layers
        )

    async def known_layers(self, chains: Sequence[str]) -> dict[str, Layer]:
        return await layers_of(self._catalog, chains)

    def record(self, identifier: str) -> Record:
        return self._catalog.record(identifier)

    async def unpack(
        self, lease: Lease, blob: Blob, place: LayerPlace, known: dict[str, Layer], begun: "asyncio.Future[None]"
    ) -> Layer:
        return await unpack(self._content, self._layers, lease, blob, place, known, begun)

    def has(self, blob: str, chain_id: str) -> bool:
        return self._content.exists(blob) and self._layers.has_layer(chain_id)

    @property
    def remote(self) -> Remote:
        return self._remote


class _Unpacked:
    """How far a layer is: the next one may be unpacked beside it from `begun` on."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()


class _Image:
    """One image on its way: its layers side by side."""

    def __init__(
        self, puller: Puller, lease: Lease, repositories: Sequence[Repository], tell: Tell, domain: str
    ) -> None:
        self._puller = puller
        self._lease = lease
        self._repositories = repositories
        self._tell = tell
        self._domain = domain
        self._slots = asyncio.Semaphore(puller.remote.settings.limits.layers_per_pull)
        self.kept: list[str] = []  # what need not be kept for another try once this one is over

    async def run(
        self, chosen: Chosen, platform: Platform | None, names: tuple[str, ...], reference: Reference
    ) -> Ready:
        """All parts of the image. Raises Invalid where config and layers contradict each other."""
        manifest = chosen.manifest
        data = await self._puller.config(self._lease, self._repositories, manifest.config)
        config = await asyncio.to_thread(parse_config, data) if len(data) > SMALL_BYTES else parse_config(data)
        _check_config(config, manifest, platform, reference)
        for document in chosen.documents:
            await self._puller.store(self._lease, document.digest, document.data)
        target = Target(chosen.digest, manifest.config.digest)
        if self._puller.whole(manifest.config.digest):
            record = self._puller.record(manifest.config.digest)
            return Ready(record, config, names, target)
        layers = await self._layers(manifest, config)
        record = Record(manifest.config.digest, chosen.manifest_digest, tuple(layers), time.time_ns())
        return Ready(record, config, names, target)

    async def _layers(self, manifest: Manifest, config: ImageConfig) -> list[Layer]:
        wanted = list(zip(manifest.layers, places(config.rootfs.diff_ids), strict=True))
        known = await self._puller.known_layers([place.chain_id for _, place in wanted])
        self.kept = [part.digest for part in manifest.layers]
        for part, place in wanted:
            await self._lease.add(part.digest)
            await self._lease.add(layer_key(place.chain_id))
        below = _Unpacked()
        below.begun.set_result(None)
        below.done.set_result(None)
        works = []
        for part, place in wanted:
            here = _Unpacked()
            works.append(self._layer(part, place, known, below, here))
            below = here
        return await together(works)

    async def _layer(
        self,
        part: Descriptor,
        place: LayerPlace,
        known: dict[str, Layer],
        below: "_Unpacked",
        here: "_Unpacked",
    ) -> Layer:
        name = digests.short(part.digest)
        before = known.get(place.chain_id)
        blob = Blob(part.digest, part.size)
        here_already = (
            before is not None and before.blob == part.digest and self._puller.has(blob.digest, place.chain_id)
        )
        if here_already:
            self._tell(PullStep("Already exists", name))
        else:
            self._tell(PullStep("Pulling fs layer", name))
            await self._fetch(part, name)
            await below.begun
            self._tell(PullStep("Extracting", name, part.size, part.size))
        try:
            layer = await self._puller.unpack(self._lease, blob, place, known, here.begun)
        except (Conflict, NotFound):  # another pull, which had begun the layer below, gave it up
            await below.done
            layer = await self._puller.unpack(self._lease, blob, place, known, here.begun)
        if not here_already:
            self._tell(PullStep("Pull complete", name))
        here.done.set_result(None)
        return layer

    async def _fetch(self, part: Descriptor, name: str) -> None:
        if self._slots.locked():
            self._tell(PullStep("Waiting", name))
        async with self._slots:
            pace = Pace()

            def progress(size: int) -> None:
                if pace.due():
                    self._tell(PullStep("Downloading", name, size, part.size))

            source = self._puller.source(self._domain, self._repositories, part)
            await self._puller.downloads.fetch(source, part, progress)
        self._tell(PullStep("Verifying Checksum", name))
        self._tell(PullStep("Download complete", name))


def _check_config(config: ImageConfig, manifest: Manifest, platform: Platform | None, reference: Reference) -> None:
    wanted, given = len(config.rootfs.diff_ids), len(manifest.layers)
    if wanted != given:
        raise Invalid(f"invalid manifest, layers length mismatch: expected {wanted}, got {given}")
    offered = Platform(config.architecture, config.os, config.variant)
    if platform is not None and not platforms.matches(platform, offered):
        raise NotFound(
            f"image with reference {reference.familiar} was found but its platform ({platforms.describe(offered)}) "
            f"does not match the specified platform ({platforms.describe(platform)})"
        )


async def _from(repository: Repository, wanted: str) -> tuple[Document, Repository]:
    return await repository.manifest(wanted), repository


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
