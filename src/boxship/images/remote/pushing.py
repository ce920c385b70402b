"""A push: everything that a name stands for into its registry, the parts before what names them, a tag last.

A name that stands for an index takes all of it along where all of it is here, else the one image that was chosen from
it. To the registry of this very daemon nothing is sent: it shares our blobs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from boxship.content import Content, Garbage, Lease
from boxship.errors import NotFound
from boxship.images.catalog import Catalog
from boxship.images.documents import DOCUMENT_LIMIT, parse
from boxship.images.loading import manifest_of
from boxship.images.model import Target
from boxship.images.remote.client import Remote
from boxship.images.remote.compressing import Compressor
from boxship.images.remote.manifests import INDEXES, encode, is_foreign, kind_of, read_index, read_manifest
from boxship.images.remote.model import NOBODY, Credentials, Document, OwnRegistry, Pushed, PushStep
from boxship.images.remote.news import Pace
from boxship.images.remote.repository import Repository
from boxship.images.remote.searching import neighbours_of
from boxship.images.remote.uploading import HERE, Upload
from boxship.spec import digest as digests
from boxship.spec import platform as platforms
from boxship.spec import reference as references
from boxship.spec.image import DOCKER_LAYER, MEDIA_LAYER, Descriptor, Manifest, Platform
from boxship.spec.reference import Reference
from boxship.transport.client import is_loopback
from boxship.waiting.together import together

Tell = Callable[[PushStep | Pushed], None]
Name = Callable[[str, dict[str, Target]], Awaitable[None]]


class KeptSignatures(Protocol):
    """The signatures of what is here, which go along; each answers how many there are."""

    async def send(self, repository: Repository, subject: str) -> int: ...

    async def give(self, own: OwnRegistry, reference: Reference, subject: str, who: Credentials) -> int: ...


class Parcel(msgspec.Struct, frozen=True):
    """What is pushed for one tag: manifests, the one that the tag gets last; the blobs that they name, with the short
    names that people see; and the layers that are made smaller, by the digest of what becomes of them."""

    documents: tuple[Document, ...]
    configs: tuple[Descriptor, ...]
    layers: dict[str, str]  # digest: short name
    sizes: dict[str, int]
    sources: dict[str, str]  # of layers that are compressed on the way: the digest of what they are made of
    media_types: dict[str, str]


class Pusher:
    """Pushes for the images room. `name` gives an image further names, durably."""

    def __init__(
        self,
        content: Content,
        garbage: Garbage,
        catalog: Catalog,
        name: Name,
        remote: Remote,
        signatures: KeptSignatures,
    ) -> None:
        self._content = content
        self._garbage = garbage
        self._catalog = catalog
        self._name = name
        self._remote = remote
        self._signatures = signatures
        self._compressor = Compressor(content)

    async def push(
        self,
        reference: Reference,
        platform: Platform | None,
        credentials: Credentials | None,
        every_tag: bool,
        tell: Tell,
    ) -> None:
        """Push a tag, or every tag of a repository. Raises NotFound with Docker's texts."""
        if every_tag:
            names = self._catalog.names_in(reference.name)
            if not names:
                raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
        else:
            names = [str(reference.with_default_tag())]
            if self._catalog.target(names[0]) is None:
                raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
        tell(PushStep(f"The push refers to repository [{reference.name}]"))
        for name in names:
            await self._push_one(references.parse(name), platform, credentials, tell)

    async def _push_one(
        self, reference: Reference, platform: Platform | None, credentials: Credentials | None, tell: Tell
    ) -> None:
        target = self._catalog.target(str(reference))
        if target is None:
            raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
        async with self._garbage.lease() as lease:
            own = self._remote.own
            to_own = own is not None and own.serves(reference.domain)
            parcel = await self._pack(lease, reference, target, platform, "" if to_own else self._kind(reference))
            if to_own:
                await self._hand_over(reference, parcel, credentials, tell)
            else:
                repository = await self._remote.repository(reference, credentials)
                await self._send(lease, repository, reference, parcel, tell)
            last = parcel.documents[-1]
            if self._catalog.has(target.image):
                names = {f"{reference.name}@{last.digest}": Target(last.digest, target.image)}
                await self._name(target.image, names)
        tell(PushStep(f"{reference.tag}: digest: {last.digest} size: {len(last.data)}"))
        tell(Pushed(reference, last.digest, len(last.data)))

    def _kind(self, reference: Reference) -> str:
        """How plain layers are compressed on the way there; "" for not at all."""
        kind = self._remote.settings.push_compression
        if kind == "auto":
            return "" if is_loopback(urlsplit(f"//{reference.domain}").hostname or "") else "gzip"
        return "" if kind == "none" else kind

    # what is to be pushed

    async def _pack(
        self, lease: Lease, reference: Reference, target: Target, platform: Platform | None, kind: str
    ) -> Parcel:
        documents = await self._documents(lease, target, platform, reference)
        parcel = Parcel((), (), {}, {}, {}, {})
        done: list[Document] = []
        configs: list[Descriptor] = []
        for document in documents:
            if document.media_type in INDEXES:
                done.append(document)
                continue
            manifest = read_manifest(document)
            changed = await self._compressed(lease, manifest, kind, parcel) if len(documents) == 1 else manifest
            if changed is not manifest:
                data = encode(changed)
                document = Document(digests.of_bytes(data), changed.mediaType, data)
                await lease.add(document.digest)
                await self._content.put(data)
            done.append(document)
            configs.append(changed.config)
            names = await self._layer_names(manifest)
            for was, layer in zip(manifest.layers, changed.layers, strict=True):
                if not is_foreign(layer):
                    parcel.layers[layer.digest] = names.get(was.digest, digests.short(was.digest))
                    parcel.sizes[layer.digest] = layer.size
                    parcel.media_types[layer.digest] = layer.mediaType
        return msgspec.structs.replace(parcel, documents=tuple(done), configs=tuple(configs))

    async def _documents(
        self, lease: Lease, target: Target, platform: Platform | None, reference: Reference
    ) -> list[Document]:
        """The manifests to push, each after those that it names."""
        record = self._catalog.record(target.image)
        if platform is not None:
            config = self._catalog.config(target.image)
            offered = Platform(config.architecture, config.os, config.variant)
            if not platforms.matches(platform, offered):
                raise NotFound(
                    f"image with reference {reference.familiar} was found but its platform "
                    f"({platforms.describe(offered)}) does not match the specified platform "
                    f"({platforms.describe(platform)})"
                )
        elif (found := await self._everything(lease, target.digest)) is not None:
            return found
        for layer in record.layers:
            await lease.add(layer.blob)
        await lease.add(record.id)
        document = await self._read(lease, record.manifest)
        if b'"schemaVersion"' not in document.data:
            data = manifest_of(record.id, self._content.size(record.id), record.layers)
            document = Document(digests.of_bytes(data), kind_of(data, "", record.id), data)
            await lease.add(document.digest)
            await self._content.put(data)
        return [document]

    async def _everything(self, lease: Lease, digest: str, depth: int = 0) -> list[Document] | None:
        """A manifest or index with all that it names; None where a part is not here."""
        await lease.add(digest)
        if depth > INDEX_DEPTH or not self._content.exists(digest):
            return None
        document = await self._read(lease, digest)
        if b'"schemaVersion"' not in document.data:
            return None
        found: list[Document] = []
        if document.media_type in INDEXES:
            for entry in read_index(document).manifests:
                below = await self._everything(lease, entry.digest, depth + 1)
                if below is None:
                    return None
                found += below
            return [*found, document]
        manifest = read_manifest(document)
        for part in (manifest.config, *manifest.layers):
            await lease.add(part.digest)
            if not self._content.exists(part.digest) and not is_foreign(part):
                return None
        return [document]

    async def _read(self, lease: Lease, digest: str) -> Document:
        await lease.add(digest)
        data = await self._content.read(digest, DOCUMENT_LIMIT)
        return Document(digest, kind_of(data, "", digest), data)

    async def _compressed(self, lease: Lease, manifest: Manifest, kind: str, parcel: Parcel) -> Manifest:
        plain = (MEDIA_LAYER, DOCKER_LAYER)
        if not kind or not any(layer.mediaType in plain for layer in manifest.layers):
            return manifest

        async def smaller(layer: Descriptor) -> Descriptor:
            if layer.mediaType not in plain:
                return layer
            made = await self._compressor.describe(lease, layer, kind)
            parcel.sources[made.digest] = layer.digest
            return made

        layers = await together(smaller(layer) for layer in manifest.layers)
        return msgspec.structs.replace(manifest, layers=tuple(layers))

    async def _layer_names(self, manifest: Manifest) -> dict[str, str]:
        """The short names that people know layers by: those of the uncompressed layers."""
        if not self._content.exists(manifest.config.digest):
            return {}
        config = parse(await self._content.read(manifest.config.digest, DOCUMENT_LIMIT), dict[str, object], "config")
        rootfs = config.get("rootfs")
        listed = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(listed, list) or len(listed) != len(manifest.layers):
            return {}
        return {layer.digest: digests.short(str(name)) for layer, name in zip(manifest.layers, listed, strict=True)}

    # getting it there

    async def _hand_over(
        self, reference: Reference, parcel: Parcel, credentials: Credentials | None, tell: Tell
    ) -> None:
        """To our own registry: it claims what we have."""
        own = self._remote.own
        assert own is not None
        for name in parcel.layers.values():
            tell(PushStep("Layer already exists", name))
        for document in parcel.documents:
            tag = reference.tag if document is parcel.documents[-1] else ""
            await own.accept(reference.path, tag, document.digest, document.media_type, credentials or NOBODY)
            await self._signatures.give(own, reference, document.digest, credentials or NOBODY)

    async def _send(
        self, lease: Lease, repository: Repository, reference: Reference, parcel: Parcel, tell: Tell
    ) -> None:
        for name in parcel.layers.values():
            tell(PushStep("Preparing", name))
        slots = asyncio.Semaphore(self._remote.settings.limits.uploads_per_push)
        near = await neighbours_of(self._catalog, reference, parcel.layers)
        works = [
            self._layer(lease, repository, reference, digest, parcel, near.get(digest, ()), slots, tell)
            for digest in parcel.layers
        ]
        for config in parcel.configs:
            works.append(self._blob(repository, config.digest, (), slots))
        await together(works)
        for document in parcel.documents:
            wanted = reference.tag if document is parcel.documents[-1] else document.digest
            await self._remote.retried(
                lambda wanted=wanted, document=document: repository.put_manifest(  # type: ignore[misc]
                    wanted, document.media_type, document.data
                )
            )
            await self._remote.retried(
                lambda document=document: self._signatures.send(repository, document.digest)  # type: ignore[misc]
            )

    async def _layer(
        self,
        lease: Lease,
        repository: Repository,
        reference: Reference,
        digest: str,
        parcel: Parcel,
        neighbours: Sequence[str],
        slots: asyncio.Semaphore,
        tell: Tell,
    ) -> None:
        name, size = parcel.layers[digest], parcel.sizes[digest]
        if slots.locked():
            tell(PushStep("Waiting", name))
        async with slots:
            source = parcel.sources.get(digest)
            if source is not None and not await self._is_there(lease, repository, digest):
                made = await self._compressor.make(lease, source, self._kind(reference))
                assert made.digest == digest, "compression gave another result than the last time"
            pace = Pace()

            def progress(sent: int) -> None:
                if pace.due():
                    tell(PushStep("Pushing", name, sent, size))

            how = await self._upload(repository, digest, neighbours, progress)
        if how == HERE:
            tell(PushStep("Layer already exists", name))
        elif how:
            tell(PushStep(f"Mounted from {how}", name))
        else:
            tell(PushStep("Pushing", name, size, size))
            tell(PushStep("Pushed", name))

    async def _is_there(self, lease: Lease, repository: Repository, digest: str) -> bool:
        """Whether a compressed layer need not be made: we have it still, or the registry has it."""
        await lease.add(digest)
        if self._content.exists(digest):
            return True
        return await self._remote.retried(lambda: repository.has_blob(digest))

    async def _blob(
        self, repository: Repository, digest: str, neighbours: Sequence[str], slots: asyncio.Semaphore
    ) -> None:
        async with slots:
            await self._upload(repository, digest, neighbours, lambda sent: None)

    async def _upload(
        self, repository: Repository, digest: str, neighbours: Sequence[str], progress: Callable[[int], None]
    ) -> str:
        path = self._content.place(digest)
        return await Upload(self._remote, repository, digest, path, progress).run(neighbours)


INDEX_DEPTH = 4  # indexes inside indexes
