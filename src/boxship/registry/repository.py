"""One repository in memory, exactly as it is stored, with what is counted from it: who names what, and its size.

Changes come as a `Change`: the durable part is committed first, then applied here in one step of the loop, together
with the claims on the bytes. Nothing in this file waits.
"""

import asyncio
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from boxship.content import Garbage
from boxship.registry.model import Fresh, Manifest, Part, Tag
from boxship.registry.touches import Touches


class Change(msgspec.Struct):
    """What one step changes; None takes away. Applied all or not at all."""

    tags: dict[str, Tag | None] = {}
    manifests: dict[str, Manifest | None] = {}
    fresh: dict[str, Fresh | None] = {}
    hidden: dict[str, str | None] = {}

    def __len__(self) -> int:
        return len(self.tags) + len(self.manifests) + len(self.fresh) + len(self.hidden)


class Repository:
    """Belongs to the loop. `lock` is held over every change, from the decision until it is applied."""

    def __init__(self, name: str, garbage: Garbage) -> None:
        self.name = name
        self.lock = asyncio.Lock()
        self.tags: dict[str, Tag] = {}
        self.order: list[str] = []  # the tags, sorted
        self.manifests: dict[str, Manifest] = {}
        self.fresh: dict[str, Fresh] = {}
        self.lapsed: set[str] = set()  # manifests that lost their last tag to another push
        self.hidden: dict[str, str] = {}  # tags of the engine's that were deleted here, and what they stood for
        self.touches = Touches(garbage)
        self.size = 0  # bytes of all manifests and blobs, each once
        self.pushed_at = 0  # the last sign of a push
        self._garbage = garbage
        self._tags_of: dict[str, set[str]] = {}
        self._users: Counter[str] = Counter()  # manifests that name a blob
        self._parents: dict[str, set[str]] = {}
        self._referrers: dict[str, dict[str, Manifest]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}  # uses and size of each digest that counts

    # looking

    def is_empty(self) -> bool:
        return not (self.tags or self.manifests or self.fresh or self.hidden or len(self.touches) or self.lock.locked())

    @property
    def has_ending(self) -> bool:
        """Whether something in it is kept for a time only."""
        return bool(self.fresh or self.lapsed or self.hidden or len(self.touches))

    def shows(self) -> bool:
        """Whether it is in the catalogue: there is something to be pulled."""
        return bool(self.tags or self.manifests)

    @property
    def blobs(self) -> int:
        """How many blobs it has, without its manifests."""
        return len(self._users) + len(self.fresh.keys() - self._users.keys())

    def has_blob(self, digest: str) -> bool:
        return digest in self._users or digest in self.fresh or digest in self.touches

    def is_used(self, digest: str) -> bool:
        """Whether a manifest names the blob."""
        return digest in self._users

    def users(self, digest: str) -> list[str]:
        """The manifests that name a blob; looked up, as only refusals ask."""
        if digest not in self._users:
            return []
        return [name for name, manifest in self.manifests.items() if any(p.digest == digest for p in manifest.parts)]

    def part(self, digest: str) -> Part | None:
        """A blob as some manifest names it, whether it is here or not."""
        if digest not in self._users:
            return None
        _, size = self._sizes[digest]
        return Part(digest, size)

    def tags_of(self, digest: str) -> set[str]:
        return self._tags_of.get(digest, set())

    def parents(self, digest: str) -> set[str]:
        return self._parents.get(digest, set())

    def referrers(self, digest: str) -> dict[str, Manifest]:
        """The manifests whose subject it is, by digest, in the order in which they came."""
        return self._referrers.get(digest, {})

    def page(self, last: str, limit: int | None) -> tuple[list[str], bool]:
        """Tags after `last`, and whether more follow."""
        start = bisect_left(self.order, last + "\0") if last else 0
        end = len(self.order) if limit is None else start + limit
        return self.order[start:end], end < len(self.order)

    def growth(self, sizes: Iterable[tuple[str, int]]) -> int:
        """Bytes that the repository would grow by."""
        return sum(size for digest, size in dict(sizes).items() if digest not in self._sizes)

    # changing

    def apply(self, change: Change) -> None:
        """Take over what has just become durable, claims first, then releases."""
        gone: list[str] = []
        for digest, manifest in change.manifests.items():
            gone += self._drop_manifest(digest)
            if manifest is not None:
                self._put_manifest(digest, manifest)
        for tag, target in change.tags.items():
            self._drop_tag(tag)
            if target is not None:
                self._put_tag(tag, target)
        for digest, fresh in change.fresh.items():
            if self.fresh.pop(digest, None) is not None:
                gone.append(digest)
                self._count_out(digest)
            if fresh is not None:
                self.fresh[digest] = fresh
                self._garbage.claim((digest,))
                self._count_in(digest, fresh.size)
        for tag, shadow in change.hidden.items():
            if shadow is None:
                self.hidden.pop(tag, None)
            else:
                self.hidden[tag] = shadow
        self._garbage.release(gone)

    def _put_manifest(self, digest: str, manifest: Manifest) -> None:
        self.manifests[digest] = manifest
        if manifest.lapsed_at:
            self.lapsed.add(digest)
        self._garbage.claim(claims_of(digest, manifest))
        self._count_in(digest, manifest.size)
        for part in manifest.parts:
            self._users[part.digest] += 1
            self._count_in(part.digest, part.size)
        for child in manifest.children:
            self._parents.setdefault(child, set()).add(digest)
        if manifest.subject:
            self._referrers.setdefault(manifest.subject, {})[digest] = manifest

    def _drop_manifest(self, digest: str) -> list[str]:
        """Forget a manifest; the claims that it held."""
        manifest = self.manifests.pop(digest, None)
        if manifest is None:
            return []
        self.lapsed.discard(digest)
        self._count_out(digest)
        for part in manifest.parts:
            self._users[part.digest] -= 1
            if not self._users[part.digest]:
                del self._users[part.digest]
            self._count_out(part.digest)
        for child in manifest.children:
            _discard(self._parents, child, digest)
        if manifest.subject:
            listed = self._referrers[manifest.subject]
            del listed[digest]
            if not listed:
                del self._referrers[manifest.subject]
        return list(claims_of(digest, manifest))

    def _put_tag(self, tag: str, target: Tag) -> None:
        self.tags[tag] = target
        insort(self.order, tag)
        self._tags_of.setdefault(target.digest, set()).add(tag)

    def _drop_tag(self, tag: str) -> None:
        target = self.tags.pop(tag, None)
        if target is not None:
            del self.order[bisect_left(self.order, tag)]
            _discard(self._tags_of, target.digest, tag)

    def _count_in(self, digest: str, size: int) -> None:
        uses, known = self._sizes.get(digest, (0, size))
        self._sizes[digest] = (uses + 1, known)
        if not uses:
            self.size += size

    def _count_out(self, digest: str) -> None:
        uses, size = self._sizes[digest]
        if uses > 1:
            self._sizes[digest] = (uses - 1, size)
        else:
            del self._sizes[digest]
            self.size -= size


def claims_of(digest: str, manifest: Manifest) -> Iterator[str]:
    """What a manifest keeps alive: itself and its blobs. Its children are manifests of the repository themselves."""
    yield digest
    for part in manifest.parts:
        yield part.digest


def _discard(sets: dict[str, set[str]], key: str, member: str) -> None:
    members = sets[key]
    members.discard(member)
    if not members:
        del sets[key]
