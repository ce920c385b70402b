"""What images take on the disk, and how they came to be: read-only views of the catalog."""

from boxship.content import Content
from boxship.images.catalog import Catalog
from boxship.images.documents import nanoseconds
from boxship.images.model import HistoryEntry, ImageUsage, Layers, Usage

MISSING = "<missing>"


async def usage_of(catalog: Catalog, content: Content, layers: Layers) -> Usage:
    """Disk space of all images. A layer that several images have counts once in the total, and as shared in each. Blobs
    of others, such as the registry's, do not count."""
    images = []
    for identifier in catalog.identifiers():
        image = catalog.image(identifier)
        shared = sum(layer.size for layer in image.layers if catalog.chain_users[layer.chain_id] > 1)
        images.append(ImageUsage(image, image.size, shared))
    unpacked = catalog.layers()
    total = sum(layer.size for layer in unpacked.values())
    return Usage(
        tuple(images), total, await layers.records_usage(unpacked.keys()), await content.usage(catalog.blobs())
    )


def history_of(catalog: Catalog, identifier: str) -> tuple[HistoryEntry, ...]:
    """The steps of an image, newest first. The newest has the image's id, the next its parent's where that is here, and
    so on; the rest is missing."""
    image = catalog.image(identifier)
    sizes = [layer.size for layer in image.layers]
    entries = []
    for step in image.config.history or ():
        size = 0 if step.empty_layer or not sizes else sizes.pop(0)
        entries.append((step, size))
    lines = []
    current = identifier
    for step, size in reversed(entries):
        names = catalog.image(current).references if current else ()
        lines.append(
            HistoryEntry(
                id=current or MISSING,
                created=nanoseconds(step.created),
                created_by=step.created_by,
                references=names,
                size=size,
                comment=step.comment,
            )
        )
        current = catalog.image(current).parent if current else ""
    return tuple(lines)
