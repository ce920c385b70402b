"""All repositories: their records in the store, and the same in memory.

Keys: `registry/manifests/NAME@DIGEST`, `registry/tags/NAME:TAG`, `registry/fresh/NAME@DIGEST`,
`registry/hidden/NAME:TAG`. A change is durable before it shows, and claims what it names in the step in which it shows.
"""

from collections.abc import Iterator

import msgspec

from boxship.content import Garbage
from boxship.registry.model import Fresh, Manifest, Tag
from boxship.registry.refusals import NameUnknown
from boxship.registry.repository import Change, Repository
from boxship.store import Delete, Operation, Put, Store

ROOT = "registry/"
MANIFESTS, TAGS, FRESH, HIDDEN = (f"{ROOT}{kind}/" for kind in ("manifests", "tags", "fresh", "hidden"))


_write = msgspec.json.Encoder().encode
_read_manifest = msgspec.json.Decoder(Manifest).decode
_read_tag = msgspec.json.Decoder(Tag).decode
_read_fresh = msgspec.json.Decoder(Fresh).decode


class Repositories:
    """Belongs to the loop. A repository is there as long as something is in it."""

    def __init__(self, store: Store, garbage: Garbage) -> None:
        self._store = store
        self._garbage = garbage
        self._of: dict[str, Repository] = {}
        self.deleted_manifests = 0  # since the start
        self.deleted_tags = 0

    def __iter__(self) -> Iterator[Repository]:
        return iter(list(self._of.values()))

    def __len__(self) -> int:
        return len(self._of)

    async def load(self) -> None:
        """Take over what is stored, and claim what it names."""
        for entry in (await self._store.list(MANIFESTS)).entries:
            name, digest = entry.key.removeprefix(MANIFESTS).split("@")
            self.at(name).apply(Change(manifests={digest: _read_manifest(entry.value)}))
        for entry in (await self._store.list(TAGS)).entries:
            name, _, tag = entry.key.removeprefix(TAGS).rpartition(":")
            self.at(name).apply(Change(tags={tag: _read_tag(entry.value)}))
        for entry in (await self._store.list(FRESH)).entries:
            name, digest = entry.key.removeprefix(FRESH).split("@")
            self.at(name).apply(Change(fresh={digest: _read_fresh(entry.value)}))
        for entry in (await self._store.list(HIDDEN)).entries:
            name, _, tag = entry.key.removeprefix(HIDDEN).rpartition(":")
            self.at(name).apply(Change(hidden={tag: entry.value.decode()}))

    def find(self, name: str) -> Repository | None:
        return self._of.get(name)

    def need(self, name: str) -> Repository:
        """Raises NameUnknown."""
        found = self._of.get(name)
        if found is None:
            raise NameUnknown(f"cannot find repository {name}")
        return found

    def at(self, name: str) -> Repository:
        """The repository; a new, empty one where there is none yet."""
        found = self._of.get(name)
        if found is None:
            found = self._of[name] = Repository(name, self._garbage)
        return found

    def tidy(self, repository: Repository) -> None:
        """Forget a repository in which nothing is left."""
        if repository.is_empty() and self._of.get(repository.name) is repository:
            del self._of[repository.name]

    async def commit(self, repository: Repository, change: Change) -> None:
        """Make a change durable, then show it. Under the repository's lock."""
        operations: list[Operation] = []
        name = repository.name
        for digest, manifest in change.manifests.items():
            operations.append(_operation(f"{MANIFESTS}{name}@{digest}", _write(manifest) if manifest else None))
        for tag, target in change.tags.items():
            operations.append(_operation(f"{TAGS}{name}:{tag}", _write(target) if target else None))
        for digest, fresh in change.fresh.items():
            operations.append(_operation(f"{FRESH}{name}@{digest}", _write(fresh) if fresh else None))
        for tag, shadow in change.hidden.items():
            operations.append(_operation(f"{HIDDEN}{name}:{tag}", shadow.encode() if shadow is not None else None))
        if operations:
            await self._store.commit(*operations)
            repository.apply(change)
            self.deleted_manifests += sum(manifest is None for manifest in change.manifests.values())
            self.deleted_tags += sum(target is None for target in change.tags.values())


def _operation(key: str, value: bytes | None) -> Operation:
    return Delete(key) if value is None else Put(key, value)
