"""Which image a user means: by name, digest, id or the beginning of an id, in Docker's order."""

from boxship.errors import Invalid, NotFound
from boxship.images.catalog import Catalog
from boxship.images.model import Target
from boxship.spec import digest as digests
from boxship.spec import reference as references


def missing(reference: str) -> NotFound:
    """Docker's text for an image that is not there."""
    try:
        shown = references.parse(reference).with_default_tag().familiar
    except Invalid:
        shown = reference
    return NotFound(f"No such image: {shown}")


def find(catalog: Catalog, reference: str) -> str:
    """The id of the image. Raises NotFound, or Invalid for what can be neither a name nor an id."""
    if digests.is_digest(reference):
        identifier = reference if catalog.shows(reference) else None
    elif digests.is_digest(f"sha256:{reference}"):
        identifier = f"sha256:{reference}" if catalog.shows(f"sha256:{reference}") else None
    else:
        identifier = _by_name(catalog, reference) or _by_prefix(catalog, reference)
    if identifier is None:
        raise missing(reference)
    return identifier


def _by_name(catalog: Catalog, text: str) -> str | None:
    name = references.parse(text).with_default_tag()
    target = catalog.target(str(name))
    if target is None and name.digest:  # some tag of the repository may stand for that digest
        for known in catalog.names_of_digest(name.digest):
            if references.parse(known).name == name.name:
                target = catalog.target(known)
    return target.image if target else None


def _by_prefix(catalog: Catalog, text: str) -> str | None:
    prefix = f"sha256:{text.removeprefix('sha256:')}"
    found = [identifier for identifier in catalog.identifiers() if identifier.startswith(prefix)]
    return found[0] if len(found) == 1 and prefix != "sha256:" else None


def target_of(catalog: Catalog, reference: str, identifier: str) -> Target:
    """What a copy of the name stands for: the same as the name; an id stands for the image's manifest."""
    if not digests.is_digest(reference) and not digests.is_digest(f"sha256:{reference}"):
        known = catalog.target(str(references.parse(reference).with_default_tag()))
        if known is not None and known.image == identifier:
            return known
    return Target(catalog.record(identifier).manifest, identifier)
