"""Decides what goes with a tag or a manifest that is deleted. Pure: reads a repository, returns changes.

A manifest goes when it is deleted by its digest or loses its last tag by a deletion, unless an index still names it.
With it go what nothing else can reach: the manifests of its index, and what refers to it (signatures and the
like). What has a tag of its own stays.
"""

from collections.abc import Collection, Iterator

from boxship.registry.refusals import InUse
from boxship.registry.repository import Change, Repository

STEP_LIMIT = 500  # records changed at once; a deletion of more is done in steps


def plan_tag(repository: Repository, tag: str) -> Change:
    """What goes with one tag."""
    return plan_tags(repository, (tag,))


def plan_tags(repository: Repository, tags: Collection[str]) -> Change:
    """What goes with several tags of one repository."""
    change = Change(tags=dict.fromkeys(tags))
    doomed: dict[str, None] = {}
    for digest in sorted({repository.tags[tag].digest for tag in tags}):
        if repository.tags_of(digest) <= set(tags) and digest in repository.manifests:
            if repository.parents(digest) or repository.manifests[digest].subject in repository.manifests:
                continue  # still reached through an index, or as a referrer
            doomed[digest] = None
    _spread(repository, doomed, set(tags))
    change.manifests = dict.fromkeys(doomed)
    return change


def plan_manifest(repository: Repository, digest: str) -> Change:
    """What goes with a manifest that is deleted by its digest: its tags too. Raises InUse while an index names it."""
    parents = repository.parents(digest)
    if parents:
        raise InUse(f"cannot delete manifest {digest}: the index {min(parents)} names it")
    tags = set(repository.tags_of(digest))
    doomed = dict.fromkeys((digest,))
    _spread(repository, doomed, tags)
    return Change(tags=dict.fromkeys(sorted(tags)), manifests=dict.fromkeys(doomed))


def plan_lapsed(repository: Repository, before: int) -> Change:
    """What goes because its last tag went to another push before that time, in nanoseconds."""
    doomed = {
        digest: None
        for digest in sorted(repository.lapsed)
        if repository.manifests[digest].lapsed_at <= before
        and not repository.tags_of(digest)
        and not repository.parents(digest)
    }
    _spread(repository, doomed, set())
    return Change(manifests=dict.fromkeys(doomed))


def _spread(repository: Repository, doomed: dict[str, None], tags: set[str]) -> None:
    """Add what only the doomed reach; what names comes before what is named."""
    waiting = list(doomed)
    while waiting:
        digest = waiting.pop()
        for other in (*repository.manifests[digest].children, *repository.referrers(digest)):
            if other in doomed or other not in repository.manifests:
                continue
            if repository.tags_of(other) <= tags and repository.parents(other) <= doomed.keys():
                doomed[other] = None
                waiting.append(other)


def steps(change: Change) -> Iterator[Change]:
    """The same deletion in steps that each are safe to stop after: tags first, then manifests, an index before what it
    names, so that nothing that shows is ever without its parts."""
    tags, manifests = list(change.tags), list(change.manifests)
    for start in range(0, len(tags), STEP_LIMIT):
        yield Change(tags=dict.fromkeys(tags[start : start + STEP_LIMIT]))
    for start in range(0, len(manifests), STEP_LIMIT):
        yield Change(manifests=dict.fromkeys(manifests[start : start + STEP_LIMIT]))
    if change.fresh or change.hidden:
        yield Change(fresh=change.fresh, hidden=change.hidden)
