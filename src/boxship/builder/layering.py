"""Layers that are here already but not where a step needs them, digests that were computed before, lists of files."""

import asyncio
from collections import OrderedDict

import msgspec

from boxship.builder.explaining import unpack_files
from boxship.builder.operations import CopySource, Executor, LayerTree
from boxship.content import Content, Lease, layer_key
from boxship.images.model import Layer, Layers
from boxship.images.unpack import largest_files
from boxship.spec import digest as digests

KNOWN_LIMIT = 4096  # digests of selections in layers that are remembered
FILES_BYTES = 64 << 20  # of one list of files


class LayerShelf:
    """Layers and lists by their digests."""

    def __init__(self, content: Content, layers: Layers) -> None:
        self._content = content
        self._layers = layers

    async def rebase(self, layer: Layer, base: LayerTree, lease: Lease) -> Layer:
        """The same layer on top of other files: it is unpacked there from its blob."""
        chain_id = digests.chain_id(base.chain_id, layer.diff_id)
        await lease.add(layer_key(chain_id))
        if self._layers.has_layer(chain_id):
            size = await self._layers.layer_usage(chain_id)
        else:
            path = self._content.path(layer.blob)
            limit = largest_files(layer.blob_size)
            size = await self._layers.apply(chain_id, base.chain_id, path, diff_id=layer.diff_id, limit_bytes=limit)
        return msgspec.structs.replace(layer, chain_id=chain_id, size=size)

    async def store_files(self, data: bytes, lease: Lease) -> str:
        """Keep a packed list of files."""
        await lease.add(digests.of_bytes(data))
        return await self._content.put(data)

    async def read_files(self, digest: str) -> dict[str, str]:
        """The list of files that a record names."""
        return await asyncio.to_thread(unpack_files, await self._content.read(digest, FILES_BYTES))


class Sums:
    """Checksums of sources; those of layers never change, so they are remembered."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._known: OrderedDict[bytes, str] = OrderedDict()

    async def checksum(self, source: CopySource, *, parents: bool) -> str:
        """What `Executor.checksum` says."""
        tree = source.tree
        if not isinstance(tree, LayerTree):
            return await self._executor.checksum(source, parents=parents)
        key = msgspec.json.encode([tree.chain_id, source.selection, source.unpack, parents])
        known = self._known.get(key)
        if known is None:
            known = await self._executor.checksum(source, parents=parents)
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)
        return known
