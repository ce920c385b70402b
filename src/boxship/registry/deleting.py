"""Deleting: tags, manifests and blobs, at any time, while others push and pull.

The record goes first, then the claim; the collector frees the bytes right after, unless somebody else claims or leases
them. What is named by something that stays is refused.
"""

from boxship.registry import removal
from boxship.registry.local import LocalManifest
from boxship.registry.model import Actor, Deleted
from boxship.registry.names import check_digest, check_name, is_digest
from boxship.registry.policy import Policy, matches
from boxship.registry.reading import Reading
from boxship.registry.refusals import BlobUnknown, InUse, ManifestUnknown, NameUnknown, TagKept
from boxship.registry.repositories import Repositories
from boxship.registry.repository import Change, Repository


class Deleting:
    """Belongs to the loop."""

    def __init__(self, repositories: Repositories, reading: Reading, policy: Policy) -> None:
        self._repositories = repositories
        self._reading = reading
        self._policy = policy

    async def delete(self, name: str, reference: str, actor: Actor) -> Deleted:
        """Delete a tag, or a manifest with all its tags; with it what nothing else reaches. Raises ManifestUnknown,
        TagKept, InUse."""
        check_name(name)
        repository = self._repositories.find(name)
        local = self._reading.local_manifest(name, reference, repository)
        if repository is None and local is None:
            raise NameUnknown(f"cannot find repository {name}")
        repository = self._repositories.at(name)
        try:
            async with repository.lock:
                change = self._plan(repository, reference, local)
                repository.touches.withdraw(actor)
                for step in removal.steps(change):
                    await self._repositories.commit(repository, step)
        finally:
            self._repositories.tidy(repository)
        return Deleted(tuple(change.tags), tuple(change.manifests))

    async def delete_blob(self, name: str, digest: str) -> None:
        """Take a blob that no manifest names out of a repository. Raises BlobUnknown, InUse."""
        check_name(name)
        check_digest(digest)
        repository = self._repositories.need(name)
        try:
            async with repository.lock:
                users = repository.users(digest)
                if users:
                    raise InUse(f"cannot delete blob {digest}: manifest {users[0]} names it")
                if not repository.has_blob(digest):
                    raise BlobUnknown(f"cannot find blob {digest} in repository {name}")
                if digest in repository.fresh:
                    await self._repositories.commit(repository, Change(fresh={digest: None}))
                repository.touches.forget(digest)
        finally:
            self._repositories.tidy(repository)

    def _plan(self, repository: Repository, reference: str, local: LocalManifest | None) -> Change:
        """What a deletion takes away; for what is the engine's, that it does not show here any more."""
        name = repository.name
        hidden: dict[str, str | None] = {}
        if is_digest(reference):
            hidden.update(dict.fromkeys(self._reading.local_tags(name, reference), reference))
            known = reference in repository.manifests
            change = removal.plan_manifest(repository, reference) if known else Change()
        else:
            if local is not None:
                hidden[reference] = local.digest
            known = reference in repository.tags
            change = removal.plan_tag(repository, reference) if known else Change()
        if not known and not hidden:
            raise ManifestUnknown(f"cannot find manifest {reference} in repository {name}")
        protected = self._policy.of(name).protected
        for tag in (*change.tags, *hidden):
            if matches(protected, tag):
                raise TagKept(f"cannot delete tag {tag} of repository {name}: it is protected")
        change.hidden = hidden
        return change
