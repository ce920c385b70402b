"""What a step changed becomes a layer and a blob: packed, leased by name, then made visible."""

from collections.abc import Awaitable, Callable

from boxship.content import Content, Lease, layer_key, open_ingest
from boxship.images.model import Layer
from boxship.snapshots.making import Draft, Packed
from boxship.snapshots.overlay import Snapshots
from boxship.spec import digest as digests
from boxship.spec.image import MEDIA_LAYER
from boxship.waiting import in_thread

Packing = Callable[[Callable[[bytes], None]], Awaitable[Packed]]  # writes the archive, says what it has


class Keeping:
    """Makes layers out of drafts."""

    def __init__(self, content: Content, snapshots: Snapshots) -> None:
        self._content = content
        self._snapshots = snapshots

    async def keep(self, draft: Draft, packing: Packing, lease: Lease) -> Layer | None:
        """The draft as a layer, durable, in the lease; None where it has no entry. The draft ends with this."""
        try:
            ingest = await open_ingest(self._content.begin)
            try:
                packed = await packing(ingest.write)
                if not packed.entries:
                    return None
                digest, blob_size = ingest.digest(), ingest.size
                await lease.add(digest)
                await in_thread(ingest.finish)
            finally:
                await in_thread(ingest.abandon)
            chain_id = digests.chain_id(draft.parent, digest)
            await lease.add(layer_key(chain_id))
            size = await self._snapshots.publish(draft, chain_id, packed)
            return Layer(digest, blob_size, digest, chain_id, size, MEDIA_LAYER)
        finally:
            self._snapshots.discard(draft)
