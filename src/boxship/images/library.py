"""Images: the one face of the room. It orders the steps of each operation and holds the lock under which names change.

Every operation is safe against a crash in one way: parts are durable before a record names them, and a record is gone
before its parts are; what a crash leaves in between is swept at the next start. Parts are leased while an image is
being made; taking away what no record claims is the business of `Garbage`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from boxship.content import Content, Garbage, Lease, layer_key
from boxship.errors import BoxshipError, Invalid
from boxship.images import making, saving
from boxship.images.accounting import history_of, usage_of
from boxship.images.catalog import Catalog
from boxship.images.documents import DOCUMENT_LIMIT, parse_config
from boxship.images.loading import Ready, expected, prepare, take
from boxship.images.lookup import find, missing, target_of
from boxship.images.model import (
    HistoryEntry,
    Image,
    Layer,
    LayerProgress,
    Layers,
    Loaded,
    Record,
    Target,
    Usage,
    Use,
)
from boxship.images.occupancy import Occupancy
from boxship.images.recency import Recency
from boxship.images.remote.client import Remote
from boxship.images.remote.model import Credentials, PullStep, RemoteSettings
from boxship.images.remote.traffic import Traffic
from boxship.images.removing import Removing
from boxship.images.trust import Gate, PullGate, Signed, Trust
from boxship.images.trust_signatures import Signatures
from boxship.pki.payloads import Signature
from boxship.spec import platform as platforms
from boxship.spec import reference as references
from boxship.spec.image import ImageConfig, Platform
from boxship.spec.reference import Reference

INTAKE_LIMIT = 16  # streams read at the same time, each in a thread; more wait

log = logging.getLogger(__name__)


class Images:
    """All images of an instance. `recover` comes first."""

    def __init__(
        self,
        content: Content,
        layers: Layers,
        garbage: Garbage,
        remote: Remote | None = None,
        trust: Trust | None = None,
    ) -> None:
        self._content = content
        self._layers = layers
        self._garbage = garbage
        self._catalog = Catalog(content.references, garbage.owned("images"))
        self.signatures = Signatures(content, garbage.owned("signatures"))
        trust = trust or Trust()
        self.gate = Gate(self._catalog, self.signatures, trust)
        self._changing = asyncio.Lock()
        occupancy = Occupancy()
        recency = Recency(self._catalog, garbage, occupancy, self._changing)
        self.using = recency.using
        self.surplus = recency.surplus
        self.last_use = recency.last_use
        self._removing = Removing(layers, garbage, self._catalog, self._changing, occupancy)
        self.remove = self._removing.remove
        self.prune = self._removing.prune
        self.collect = self._removing.collect
        self._intakes = asyncio.Semaphore(INTAKE_LIMIT)
        self.remote = remote or Remote(RemoteSettings())
        pulled = PullGate(trust, self.signatures, self.remote)
        self.admit_pull = pulled.admit
        self._traffic = Traffic(
            content,
            layers,
            garbage.owned("interrupted pulls"),
            self._catalog,
            self._settle,
            self._name_more,
            self.remote,
            pulled,
            self.signatures,
        )
        self.pull = self._traffic.pull
        self.push = self._traffic.push
        self.expire = self._traffic.expire

    async def recover(self, uses: Collection[Use] = ()) -> None:
        """Read what is stored and claim what it needs. `uses` are the containers that exist."""
        records, names = await Catalog.read(self._content.references)
        configs = await asyncio.to_thread(_read_configs, self._content, records.values())
        self._catalog.fill(records, names, configs)
        await self.signatures.recover()
        await self._removing.drop_hidden(uses)
        await self._traffic.recover()

    async def close(self) -> None:
        """Pause what comes from registries."""
        await self._traffic.close()
        await self.remote.close()

    # looking

    @property
    def catalog(self) -> Catalog:
        """What lookups are answered from, to be read only."""
        return self._catalog

    async def resolve(self, reference: str) -> Image:
        """The image that a name, digest, id or the beginning of an id stands for. Raises NotFound or Invalid."""
        return self._catalog.image(find(self._catalog, reference))

    async def obtain(
        self,
        text: str,
        *,
        platform: Platform | None = None,
        credentials: Mapping[str, Credentials | Mapping[str, object]] | None = None,
        always: bool = False,
        progress: Callable[[PullStep], None] | None = None,
    ) -> Image:
        """The image that a name stands for, to build upon: the one that is here, where it fits the platform and nobody
        wants it `always` fresh; else pulled. `credentials` are by the registry, as clients name it. Raises Denied."""
        image = await self._traffic.obtain(
            text, platform=platform, credentials=credentials, always=always, progress=progress
        )
        await self.gate.admit(text, image.id, "build upon")
        return image

    async def admit(self, reference: str, image: Image) -> None:
        """Whether a container may be made of an image that was asked for as `reference`. Raises Denied."""
        await self.gate.admit(reference, image.id)

    async def signed(self, reference: str) -> Signed:
        """What is to be signed of an image, and its signatures. Raises NotFound or Invalid."""
        return await self.gate.describe(reference, find(self._catalog, reference))

    async def sign(self, reference: str, payload: bytes, signature: str) -> str:
        """Keep a signature of an image; the digest of what was stored. Raises NotFound, Invalid, Exhausted."""
        return await self.gate.add(reference, find(self._catalog, reference), Signature(payload, signature))

    async def push_signatures(self, reference: str, credentials: Credentials | None = None) -> int:
        """Send the signatures of an image to its registry, which has the image; how many there are."""
        return await self.gate.push(reference, find(self._catalog, reference), self.remote, credentials)

    async def beneath(self, identifier: str) -> Image:
        """The image under a container by its whole id, also where it was removed by force. Raises NotFound."""
        if not self._catalog.has(identifier):
            raise missing(identifier)
        return self._catalog.image(identifier)

    async def list(self) -> list[Image]:
        """All images, newest first."""
        images = [self._catalog.image(identifier) for identifier in self._catalog.identifiers()]
        images.sort(key=lambda image: image.created, reverse=True)
        return images

    async def history(self, reference: str) -> tuple[HistoryEntry, ...]:
        """How the image came to be, newest step first."""
        return history_of(self._catalog, find(self._catalog, reference))

    async def usage(self) -> Usage:
        """Disk space, as du counts it."""
        return await usage_of(self._catalog, self._content, self._layers)

    # naming

    async def tag(self, reference: str, new: Reference) -> Image:
        """Give an image one more name, `latest` where no tag is given; taken from another image if need be."""
        async with self._changing:
            identifier = find(self._catalog, reference)
            target = target_of(self._catalog, reference, identifier)
            await self._name(identifier, {check_tag(new): target})
            return self._catalog.image(identifier)

    async def _name(self, identifier: str, names: dict[str, Target]) -> None:
        """Under the lock: point names at an image, durably."""
        record = msgspec.structs.replace(self._catalog.record(identifier), tagged_at=time.time_ns())
        await self._catalog.change({identifier: (record, self._catalog.config(identifier))}, names)

    async def _name_more(self, identifier: str, names: dict[str, Target]) -> None:
        """What a push adds: names with the digest that the registry knows the image by. An image that was removed
        meanwhile gets none."""
        async with self._changing:
            if self._catalog.has(identifier):
                await self._name(identifier, names)

    # bringing in

    async def load(
        self,
        source: AsyncIterator[bytes],
        platform: Platform | None = None,
        *,
        only: str = "",
        limit: int = 0,
        files: int = 0,
    ) -> AsyncGenerator[LayerProgress | Loaded, None]:
        """Take an archive of images (Docker's of any age, or an OCI layout; plain or compressed) off a stream. With
        `only` it may be the image of that id alone, and the names in it do not count; `limit` and `files` bound the
        bytes of the archive and of its layers, decompressed. Raises Invalid for what is none, NotFound where it has
        nothing for the platform, Exhausted on a full disk, Conflict for another image or a larger archive."""
        async with self._intakes, self._garbage.lease() as lease:
            images = await take(self._content, lease, source, platform, limit)
            for found in [expected(images, only)] if only else images:
                async with contextlib.aclosing(
                    prepare(self._content, self._layers, lease, found, self._catalog.layers(), files)
                ) as steps:
                    async for step in steps:
                        yield await self._settle(step) if isinstance(step, Ready) else step

    async def _settle(self, ready: Ready) -> Loaded:
        """Name an image whose parts are there."""
        identifier = ready.record.id
        async with self._changing:
            replaced = {}
            for name in ready.names:
                known = self._catalog.target(name)
                if known is not None and known.image != identifier:
                    replaced[references.parse(name).familiar] = known.image
            record, target = ready.record, ready.target
            if self._catalog.has(identifier):
                known_record = self._catalog.record(identifier)
                if target.digest == record.manifest:
                    target = Target(known_record.manifest, identifier)
                record = msgspec.structs.replace(known_record, hidden=known_record.hidden and record.hidden)
            if ready.names:
                record = msgspec.structs.replace(record, tagged_at=time.time_ns())
            await self._catalog.change({identifier: (record, ready.config)}, dict.fromkeys(ready.names, target))
        return Loaded(identifier, tuple(references.parse(name).familiar for name in ready.names), replaced)

    async def import_tar(
        self,
        source: AsyncIterator[bytes],
        reference: Reference | None = None,
        *,
        changes: Sequence[str] = (),
        message: str = "",
        platform: Platform | None = None,
    ) -> Image:
        """Make an image of one layer from a tar, plain or compressed. `changes` are Dockerfile instructions."""
        name = check_tag(reference) if reference else None
        config = making.changed(None, changes)
        async with self._intakes, self._garbage.lease() as lease:
            blob = await making.take_tar(self._content, lease, source)
            draft = making.import_config(config, blob, message, platform or platforms.host())
            return await self._make(lease, draft, (), name, "")

    async def commit(
        self,
        diff: AsyncIterator[bytes],
        parent: Image | None,
        config: making.ExecutionConfig | None,
        *,
        reference: Reference | None = None,
        author: str = "",
        comment: str = "",
        created_by: str = "",
        changes: Sequence[str] = (),
        platform: Platform | None = None,
    ) -> Image:
        """Make an image of a parent and the changes of a container, given as a tar layer. `config` is the container's;
        `changes` are Dockerfile instructions on top of it."""
        name = check_tag(reference) if reference else None
        config = making.changed(config, changes)
        async with self._intakes, self._garbage.lease() as lease:
            blob = await making.take_tar(self._content, lease, diff)
            below = parent.layers if parent else ()
            for layer in below:  # the parent may be removed while we work; its parts stay
                await lease.add(layer.blob)
                await lease.add(layer_key(layer.chain_id))
            draft = making.commit_config(
                parent, config, blob, author, comment, created_by, platform or platforms.host()
            )
            return await self._make(lease, draft, below, name, parent.id if parent else "")

    async def _make(
        self, lease: Lease, draft: making.Draft, below: Sequence[making.Layer], name: str | None, parent: str
    ) -> Image:
        record, config = await making.build(self._content, self._layers, lease, draft, below)
        parent = parent if self._catalog.shows(parent) and parent != record.id else ""
        target = Target(record.manifest, record.id)
        await self._settle(
            Ready(msgspec.structs.replace(record, parent=parent), config, (name,) if name else (), target)
        )
        return self._catalog.image(record.id)

    async def assemble(
        self,
        config: ImageConfig,
        layers: Sequence[Layer],
        *,
        names: Sequence[Reference] = (),
        parent: str = "",
        hidden: bool = False,
        annotations: Mapping[str, str] = {},
    ) -> Image:
        """Make an image of layers that are unpacked and whose blobs are stored already, under the caller's lease.
        `parent` is the id of the image that it was made from; a `hidden` one nobody sees, and it stays only as long
        as a container has it. Raises Invalid where config and layers do not fit together."""
        checked = tuple(check_tag(name) for name in names)
        async with self._garbage.lease() as lease:
            record = await making.assemble(self._content, lease, config, layers, annotations)
            parent = parent if self._catalog.shows(parent) and parent != record.id else ""
            record = msgspec.structs.replace(record, parent=parent, hidden=hidden)
            await self._settle(Ready(record, config, checked, Target(record.manifest, record.id)))
        return self._catalog.image(record.id)

    # taking out

    def save(self, names: Sequence[str], platform: Platform | None = None) -> AsyncGenerator[bytes, None]:
        """A tar of images in the combined layout of Docker 25 and OCI. Raises NotFound at once, before any byte."""
        return saving.stream(self._content, self._garbage, saving.select(self._catalog, names, platform))


def _read_configs(content: Content, records: Iterable[Record]) -> dict[str, ImageConfig]:
    """The configs that can be read; an image whose config is damaged stays on the disk, but cannot be shown."""
    configs = {}
    for record in records:
        try:
            configs[record.id] = parse_config(content.read_now(record.id, DOCUMENT_LIMIT))
        except BoxshipError as error:
            log.error("cannot show image %s: %s", record.id, error)
    return configs


def check_tag(reference: Reference) -> str:
    """A name that may be given to an image, normalised. Raises Invalid with Docker's texts."""
    if reference.digest:
        raise Invalid("refusing to create a tag with a digest reference")
    if reference.familiar_name == "sha256":
        raise Invalid("refusing to create an ambiguous tag using digest algorithm as name")
    return str(reference.with_default_tag())
