"""Which unused images have to go so that those that stay take no more than a budget. Pure.

Only what can be had again goes: images without a name, and images all of whose tags are known to be in a registry
(they came from there or went there). What was built, loaded or imported here under a name stays, whatever it takes.
The least recently used goes first.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from boxship.content import layer_key
from boxship.images.catalog import Catalog
from boxship.images.model import Image
from boxship.spec import reference as references


class Candidate(msgspec.Struct, frozen=True):
    """An image that may go: the bytes of its layers and blobs by key, and when it was last used (nanoseconds)."""

    id: str
    parts: Mapping[str, int]
    used: int


def candidate(catalog: Catalog, identifier: str, used: Mapping[str, int]) -> Candidate | None:
    """The image, if it may go at all, use by containers apart."""
    if not catalog.shows(identifier) or catalog.children(identifier):
        return None
    image = catalog.image(identifier)
    if not can_be_had_again(image):
        return None
    return Candidate(identifier, _parts(image), last_use(catalog, identifier, used))


def can_be_had_again(image: Image) -> bool:
    """Whether it has no tag, or each of its tags is in a repository whose registry has it."""
    known = {text.partition("@")[0] for text in image.digests}
    return all(references.parse(tag).familiar_name in known for tag in image.references)


def last_use(catalog: Catalog, identifier: str, used: Mapping[str, int]) -> int:
    record = catalog.record(identifier)
    return max(record.added_at, record.tagged_at, record.used_at, used.get(identifier, 0))


def _parts(image: Image) -> dict[str, int]:
    parts = {layer_key(layer.chain_id): layer.size for layer in image.layers}
    return parts | {layer.blob: layer.blob_size for layer in image.layers}


def surplus(found: Iterable[Candidate], claims: Mapping[str, int], limit: int, before: int) -> list[str]:
    """Of these images those to remove, in order, so that the rest takes at most `limit` bytes. What others claim too
    does not count, for it would not become free; what was used since `before` stays."""
    waiting = sorted(found, key=lambda candidate: candidate.used)
    ours = Counter(key for candidate in waiting for key in candidate.parts)
    sizes = {key: size for candidate in waiting for key, size in candidate.parts.items()}
    free = {key for key in sizes if claims.get(key, 0) <= ours[key]}
    total = sum(sizes[key] for key in free)
    chosen = []
    for candidate in waiting:
        if total <= limit or candidate.used >= before:
            break
        chosen.append(candidate.id)
        for key in candidate.parts:
            ours[key] -= 1
            if not ours[key] and key in free:
                total -= sizes[key]
    return chosen
