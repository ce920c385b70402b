"""Docker's rules for removing an image by name or by id, as a pure decision."""

from collections.abc import Sequence

import msgspec

from boxship.errors import Conflict
from boxship.images.catalog import Catalog
from boxship.images.model import Use
from boxship.spec import digest as digests
from boxship.spec import reference as references


class Plan(msgspec.Struct, frozen=True):
    """What a removal does: normalised names to take away, and whether the image itself goes; `hide` keeps its layers
    because a stopped container stands on them."""

    image: str
    untag: tuple[str, ...] = ()
    delete: bool = False
    hide: bool = False


def plan(catalog: Catalog, reference: str, identifier: str, force: bool, uses: Sequence[Use]) -> Plan:
    """Decide. Raises Conflict with Docker's texts."""
    names = catalog.names(identifier)
    uses = [use for use in uses if use.image_id == identifier]
    if _is_id(reference, identifier):
        _check(catalog, identifier, uses, force, several=not _is_single(names))
        return Plan(identifier, tuple(names), delete=True, hide=bool(uses))
    name = str(references.parse(reference).with_default_tag())
    untag = [name] if name in names else []
    if not force and uses and _is_single(names):
        raise Conflict(
            f'conflict: unable to remove repository reference "{reference}" (must force) - container '
            f"{digests.short(uses[0].container_id)} is using its referenced image {digests.short(identifier)}"
        )
    rest = [known for known in names if known not in untag]
    if rest and all("@" in known for known in rest) and {repository(known) for known in rest} == {repository(name)}:
        untag += rest  # digests alone would keep an image that nobody can see
        rest = []
    if rest:
        return Plan(identifier, tuple(untag))
    try:
        _check(catalog, identifier, uses, force)
    except Conflict:
        if uses or catalog.children(identifier):
            return Plan(identifier, tuple(untag))  # the name goes, the image stays
        raise
    return Plan(identifier, tuple(untag), delete=True, hide=bool(uses))


def plan_prune(catalog: Catalog, identifier: str, uses: Sequence[Use]) -> Plan | None:
    """Remove an image with all its names, unless something needs it."""
    if any(use.image_id == identifier for use in uses) or catalog.children(identifier):
        return None
    return Plan(identifier, tuple(catalog.names(identifier)), delete=True)


def repository(name: str) -> str:
    """The repository of a normalised name."""
    return references.parse(name).name


def _is_id(reference: str, identifier: str) -> bool:
    """Whether the user named the image by its id: only then all of its names go."""
    return identifier.startswith(reference) or digests.encoded(identifier).startswith(reference)


def _is_single(names: Sequence[str]) -> bool:
    """One tag, or none, and digests of the same repository."""
    tags = (name for name in names if "@" not in name)
    next(tags, None)
    return next(tags, None) is None and len({repository(name) for name in names}) <= 1


def _check(catalog: Catalog, identifier: str, uses: Sequence[Use], force: bool, several: bool = False) -> None:
    """Raises Conflict for what stands against deleting the image; force overcomes several names and stopped uses."""
    if catalog.children(identifier):
        raise _conflict(identifier, "cannot be forced", "image has dependent child images")
    for use in uses:
        if use.running:
            container = digests.short(use.container_id)
            raise _conflict(identifier, "cannot be forced", f"image is being used by running container {container}")
    if several and not force:
        raise _conflict(identifier, "must be forced", "image is referenced in multiple repositories")
    if uses and not force:
        container = digests.short(uses[0].container_id)
        raise _conflict(identifier, "must be forced", f"image is being used by stopped container {container}")


def _conflict(identifier: str, remedy: str, why: str) -> Conflict:
    return Conflict(f"conflict: unable to delete {digests.short(identifier)} ({remedy}) - {why}")
