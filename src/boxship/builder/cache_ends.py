"""Where caches are kept for other machines: a repository of a registry, or a folder in the OCI layout. Both hold a
manifest whose config lists the keys, and the layers as blobs; nothing is fetched before a step needs it."""

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from boxship.content import Content, Lease
from boxship.errors import Invalid, NotFound
from boxship.images.documents import parse
from boxship.images.remote.client import Remote
from boxship.images.remote.manifests import INDEXES, choose, read_index, read_manifest
from boxship.images.remote.model import NOBODY, Credentials, Document
from boxship.images.remote.repository import Repository
from boxship.images.remote.uploading import Upload
from boxship.spec import digest as digests
from boxship.spec.image import MEDIA_MANIFEST, Descriptor, Index, Manifest, Platform
from boxship.spec.reference import Reference

MEDIA_CACHE = "application/vnd.boxship.build-cache.config.v1+json"
CONFIG_BYTES = 32 << 20
NAME = "org.opencontainers.image.ref.name"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


Admit = Callable[[Reference, str, Sequence[Repository]], Awaitable[object]]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step: its key, the index of the layer that it made (-1: none), when, and what it was."""

    key: str
    layer: int = -1
    created: int = 0
    description: str = ""


class CacheConfig(msgspec.Struct, frozen=True):
    """All steps; `diff_ids` are those of the manifest's layers."""

    entries: tuple[Entry, ...]
    diff_ids: tuple[str, ...] = ()


class Inline(msgspec.Struct, frozen=True):
    """The part of an image's config that holds a cache."""

    cache: CacheConfig | None = msgspec.field(name="boxship.build-cache.v1", default=None)
    rootfs: dict[str, object] = {}


class CacheSource(Protocol):
    """A cache that can be read."""

    async def read(self) -> tuple[Manifest, bytes]: ...

    async def fetch(self, wanted: Descriptor, lease: Lease) -> None: ...


def entries_of(manifest: Manifest, config: bytes) -> tuple[CacheConfig, tuple[Descriptor, ...]]:
    """The steps that a manifest brings, whether it is a cache of its own or an image that carries one; none where it
    carries nothing. Raises Invalid."""
    if manifest.config.mediaType == MEDIA_CACHE:
        found = parse(config, CacheConfig, "cache")
    else:
        image = parse(config, Inline, "image config")
        diff_ids = image.rootfs.get("diff_ids", [])
        names = tuple(str(name) for name in diff_ids) if isinstance(diff_ids, list) else ()
        found = CacheConfig(image.cache.entries if image.cache is not None else (), names)
    if len(found.diff_ids) != len(manifest.layers) or any(
        not -1 <= entry.layer < len(manifest.layers) for entry in found.entries
    ):
        raise Invalid("cannot use cache: its manifest and its list of layers do not fit together")
    for diff_id in found.diff_ids:
        digests.validate(diff_id)
    return found, manifest.layers


class RegistryCache:
    """A name in a registry."""

    def __init__(
        self,
        remote: Remote,
        content: Content,
        reference: Reference,
        who: Credentials | None,
        platform: Platform,
        admit: Admit,
    ) -> None:
        self._remote = remote
        self._content = content
        self._reference = reference.with_default_tag()
        self._credentials = who
        self._platform = platform
        self._admit = admit
        self._repositories: list[Repository] = []

    async def read(self) -> tuple[Manifest, bytes]:
        """Manifest and config. Raises NotFound, Unavailable, Invalid, and Denied by the policy, as its layers come into
        images."""
        reference = self._reference
        self._repositories = await self._remote.repositories(reference, self._credentials)

        async def ask(repository: Repository) -> tuple[Manifest, bytes]:
            document = await repository.manifest(reference.digest or reference.tag)
            await self._admit(reference, document.digest, (repository,))
            if document.media_type in INDEXES:
                chosen = choose(read_index(document), self._platform, reference.familiar)
                document = await repository.manifest(chosen.digest)
            manifest = read_manifest(document)
            return manifest, await repository.small_blob(manifest.config.digest, CONFIG_BYTES)

        return await self._remote.first(self._repositories, ask)

    async def fetch(self, wanted: Descriptor, lease: Lease) -> None:
        """Have a blob in the store."""
        await lease.add(wanted.digest)

        async def bring(repository: Repository) -> None:
            if not self._content.exists(wanted.digest):
                async with repository.blob(wanted.digest) as (answer, _):
                    await self._content.ingest(answer.chunks(), expected=wanted.digest, size=wanted.size)

        await self._remote.first(self._repositories, bring)

    async def write(self, manifest: bytes, parts: tuple[Descriptor, ...]) -> None:
        """Put a manifest whose parts are in our store."""
        own = self._remote.own
        reference = self._reference
        if own is not None and own.serves(reference.domain):
            digest = digests.of_bytes(manifest)
            who = self._credentials or NOBODY
            await own.accept(reference.path, reference.tag, digest, MEDIA_MANIFEST, who)
            return
        repository = await self._remote.repository(reference, self._credentials)
        for part in parts:
            path = self._content.path(part.digest)
            await Upload(self._remote, repository, part.digest, path, _silent).run(())
        await self._remote.retried(lambda: repository.put_manifest(reference.tag, MEDIA_MANIFEST, manifest))


def _silent(sent: int) -> None:
    pass


class FolderCache:
    """A folder of this machine."""

    def __init__(self, folder: Path, content: Content, tag: str = "latest", digest: str = "") -> None:
        self._folder = folder
        self._content = content
        self._tag = tag
        self._digest = digest

    def _blob(self, digest: str) -> Path:
        algorithm, _, encoded = digests.validate(digest).partition(":")
        return self._folder / "blobs" / algorithm / encoded

    async def read(self) -> tuple[Manifest, bytes]:
        """Manifest and config. Raises NotFound, Invalid."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> tuple[Manifest, bytes]:
        digest = self._digest
        if not digest:
            index = parse(self._bytes(self._folder / "index.json"), Index, "index.json")
            named = [item for item in index.manifests if (item.annotations or {}).get(NAME, "latest") == self._tag]
            if not named:
                raise NotFound(f"cannot use cache {self._folder}: it has no manifest {self._tag}")
            digest = named[-1].digest
        data = self._bytes(self._blob(digest))
        manifest = read_manifest(Document(digest, MEDIA_MANIFEST, data))
        config = self._bytes(self._blob(manifest.config.digest))
        for name, content in ((digest, data), (manifest.config.digest, config)):
            if not digests.matches(name, content):
                raise Invalid(f"cannot use cache {self._folder}: {name} has another content")
        return manifest, config

    def _bytes(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                data = file.read(CONFIG_BYTES + 1)
        except OSError as error:
            raise NotFound(f"cannot use cache {self._folder}: {path.name}: {error.strerror}") from error
        if len(data) > CONFIG_BYTES:
            raise Invalid(f"cannot use cache {self._folder}: {path.name} has more than {CONFIG_BYTES} bytes")
        return data

    async def fetch(self, wanted: Descriptor, lease: Lease) -> None:
        """Have a blob in the store. Raises NotFound, Invalid."""
        await lease.add(wanted.digest)
        if not self._content.exists(wanted.digest):
            await asyncio.to_thread(self._take, wanted)

    def _take(self, wanted: Descriptor) -> None:
        ingest = self._content.begin()
        try:
            with self._blob(wanted.digest).open("rb", buffering=0) as file:
                while data := file.read(1 << 20):
                    ingest.write(data)
            ingest.finish(wanted.digest, wanted.size)
        except OSError as error:
            raise NotFound(f"cannot use cache {self._folder}: {error.strerror}") from error
        finally:
            ingest.abandon()

    async def write(self, manifest: bytes, parts: tuple[Descriptor, ...]) -> None:
        """Put a manifest whose parts are in our store."""
        await asyncio.to_thread(self._write, manifest, parts)

    def _write(self, manifest: bytes, parts: tuple[Descriptor, ...]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for part in parts:
                self._put(self._blob(part.digest), self._content.path(part.digest))
            digest = digests.of_bytes(manifest)
            self._put(self._blob(digest), manifest)
            self._put(self._folder / "oci-layout", LAYOUT)
            index = Index((Descriptor(MEDIA_MANIFEST, digest, len(manifest), {NAME: self._tag}),))
            text = {"schemaVersion": 2} | msgspec.to_builtins(index)
            self._put(self._folder / "index.json", msgspec.json.encode(text), replace=True)
        except OSError as error:
            raise Invalid(f"cannot write cache {self._folder}: {error.strerror}") from error

    def _put(self, path: Path, source: Path | bytes, *, replace: bool = False) -> None:
        """Make a file whole or not at all."""
        if path.exists() and not replace:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{secrets.token_hex(8)}")
        try:
            if isinstance(source, bytes):
                staged.write_bytes(source)
            else:
                shutil.copyfile(source, staged)
            os.rename(staged, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                staged.unlink()


class LocalImageCache:
    """An image that is here and may carry a cache."""

    def __init__(self, content: Content, identifier: str, layers: tuple[Descriptor, ...]) -> None:
        self._content = content
        self._identifier = identifier
        self._layers = layers

    async def read(self) -> tuple[Manifest, bytes]:
        config = await self._content.read(self._identifier, CONFIG_BYTES)
        return Manifest(Descriptor("", self._identifier, len(config)), self._layers), config

    async def fetch(self, wanted: Descriptor, lease: Lease) -> None:
        await lease.add(wanted.digest)
        self._content.path(wanted.digest)
