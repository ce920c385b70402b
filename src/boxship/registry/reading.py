"""Pulling and discovering: what is there, answered from memory. Changes nothing but touches.

The engine's own images stand beside what was pushed: under one tag the newer of the two is served, and one that was
deleted here is not shown again until the engine gives the name to something else.
"""

import contextlib
import io
import weakref
from bisect import bisect_right
from collections.abc import Callable

from boxship.content import Content
from boxship.errors import NotFound
from boxship.registry.local import LocalImages, LocalManifest
from boxship.registry.model import SECOND, Actor, Found, Referrer, Settings, Tag
from boxship.registry.names import check_digest, check_name, check_tag, is_digest
from boxship.registry.policy import Policy, matches
from boxship.registry.refusals import BlobUnknown, ManifestUnknown, NameUnknown
from boxship.registry.repositories import Repositories
from boxship.registry.repository import Repository


class Reading:
    """Belongs to the loop."""

    def __init__(
        self,
        content: Content,
        repositories: Repositories,
        settings: Settings,
        policy: Policy,
        local: LocalImages | None,
        now: Callable[[], int],
    ) -> None:
        self._content = content
        self._repositories = repositories
        self._settings = settings
        self._policy = policy
        self._now = now
        self._local = local
        self._files: weakref.WeakValueDictionary[str, io.FileIO] = weakref.WeakValueDictionary()

    def find(self, name: str, reference: str) -> Found:
        """The manifest of a tag or a digest. Raises ManifestUnknown, NameUnknown."""
        check_name(name)
        repository = self._repositories.find(name)
        local = self.local_manifest(name, reference, repository)
        if is_digest(reference):
            digest = check_digest(reference)
        else:
            tag = repository.tags.get(check_tag(reference)) if repository else None
            if tag is not None and (local is None or self._outranks(name, reference, tag, local)):
                local = None
            digest = local.digest if local is not None else tag.digest if tag is not None else ""
        manifest = repository.manifests.get(digest) if repository else None
        if manifest is not None:
            return Found(digest, manifest.media_type, manifest.size, manifest.subject)
        if local is not None:
            with contextlib.suppress(NotFound):  # its image is being removed
                return Found(local.digest, local.media_type, self._content.size(local.digest))
        if (repository is None or not repository.shows()) and not self._is_local(name):
            raise NameUnknown(f"cannot find repository {name}")
        raise ManifestUnknown(f"cannot find manifest {reference} in repository {name}")

    def _outranks(self, name: str, tag: str, pushed: Tag, local: LocalManifest) -> bool:
        """Whether what was pushed counts, and not what the engine has under the same tag."""
        if pushed.digest in (local.digest, local.index) or matches(self._policy.of(name).immutable, tag):
            return True
        return local.since <= pushed.pushed_at

    async def read(self, found: Found) -> bytes:
        """The manifest's bytes, verified. Raises ManifestUnknown where it has just been deleted."""
        try:
            return await self._content.read(found.digest, self._settings.manifest_bytes)
        except NotFound:
            raise ManifestUnknown(f"cannot find manifest {found.digest}") from None

    def blob(self, name: str, digest: str, toucher: Actor | None = None) -> int:
        """Bytes of a blob. With `toucher`, it is kept for a push of that actor's. Raises BlobUnknown, NameUnknown."""
        check_name(name)
        check_digest(digest)
        repository = self._repositories.find(name)
        is_own = repository is not None and (repository.has_blob(digest) or digest in repository.manifests)
        if not is_own and not self._holds(name, digest):
            if repository is None and not self._is_local(name):
                raise NameUnknown(f"cannot find repository {name}")
            raise BlobUnknown(f"cannot find blob {digest} in repository {name}")
        try:
            size = self._content.size(digest)
        except NotFound:
            raise BlobUnknown(f"cannot find blob {digest} in repository {name}") from None
        if toucher is not None:
            self.touch(self._repositories.at(name), digest, toucher)
        return size

    def open_blob(self, digest: str) -> io.FileIO:
        """A blob's file for reading at given places; one file serves all who read it. After `blob` has said that it is
        there. Raises BlobUnknown."""
        file = self._files.get(digest)
        if file is None:
            try:
                file = io.FileIO(self._content.path(digest))
            except (NotFound, FileNotFoundError):
                raise BlobUnknown(f"cannot find blob {digest}") from None
            self._files[digest] = file
        return file

    # discovering

    def tags(self, name: str, last: str = "", limit: int | None = None) -> tuple[list[str], bool]:
        """Tags in order after `last`, and whether more follow. Raises NameUnknown."""
        check_name(name)
        repository = self._repositories.find(name)
        local = self._shown_tags(name, repository)
        if not local:
            if repository is None or not repository.shows():
                raise NameUnknown(f"cannot find repository {name}")
            return repository.page(last, limit)
        names = sorted({*local, *(repository.order if repository is not None else ())})
        return _page(names, last, limit)

    def catalogue(self, last: str, limit: int | None, wanted: Callable[[str], bool]) -> tuple[list[str], bool]:
        """Names of repositories in order after `last`, and whether more follow."""
        names = {repository.name for repository in self._repositories if repository.shows()}
        for name in self._local.repositories() if self._local is not None else ():
            repository = self._repositories.find(name)
            if repository is None or not repository.hidden or self._shown_tags(name, repository):
                names.add(name)
        return _page(sorted(filter(wanted, names)), last, limit)

    def referrers(self, name: str, digest: str, artifact_type: str = "") -> list[Referrer]:
        """What refers to a manifest, which need not be there; only those of a type, where one is named."""
        check_name(name)
        check_digest(digest)
        repository = self._repositories.find(name)
        if repository is None:
            return []
        return [
            Referrer(found.media_type, own, found.size, found.artifact_type, found.annotations)
            for own, found in repository.referrers(digest).items()
            if not artifact_type or found.artifact_type == artifact_type
        ]

    def touch(self, repository: Repository, digest: str, actor: Actor) -> None:
        """Keep a blob that is there for a push of that actor's."""
        repository.touches.add(digest, actor, self._now() + int(self._settings.touch_seconds * SECOND))
        repository.pushed_at = self._now()

    # the engine's images

    def local_manifest(self, name: str, reference: str, repository: Repository | None) -> LocalManifest | None:
        """An image of the engine's that has the name here, unless it was deleted here."""
        if self._local is None:
            return None
        found = self._local.resolve(name, reference)
        if found is None or repository is None or not repository.hidden:
            return found
        if is_digest(reference):
            return None if found.digest in repository.hidden.values() else found
        return None if repository.hidden.get(reference) == found.digest else found

    def _shown_tags(self, name: str, repository: Repository | None) -> list[str]:
        """The tags that the engine has here and that were not deleted here."""
        if self._local is None:
            return []
        tags = self._local.tags(name)
        if repository is None or not repository.hidden:
            return tags
        return [tag for tag in tags if self.local_manifest(name, tag, repository) is not None]

    def outlived(self, repository: Repository) -> list[str]:
        """Tags whose deletion need not be remembered any more: the engine has something else there, or nothing."""
        if self._local is None:
            return list(repository.hidden)
        found = {tag: self._local.resolve(repository.name, tag) for tag in repository.hidden}
        return [tag for tag, now in found.items() if now is None or now.digest != repository.hidden[tag]]

    def _is_local(self, name: str) -> bool:
        return self._local is not None and bool(self._local.tags(name))

    def _holds(self, name: str, digest: str) -> bool:
        return self._local is not None and self._local.holds(name, digest)

    def local_tags(self, name: str, digest: str) -> list[str]:
        """The tags under which the engine has a manifest here."""
        if self._local is None:
            return []
        found = {tag: self._local.resolve(name, tag) for tag in self._local.tags(name)}
        return [tag for tag, manifest in found.items() if manifest is not None and manifest.digest == digest]


def _page(names: list[str], last: str, limit: int | None) -> tuple[list[str], bool]:
    start = bisect_right(names, last) if last else 0
    end = len(names) if limit is None else start + limit
    return names[start:end], end < len(names)
