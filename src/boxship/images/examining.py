"""Looks through the catalog for what is amiss, and tells which images need a part. Read-only."""

import asyncio

import msgspec

from boxship.images.catalog import Catalog, keys_of
from boxship.images.model import Layer
from boxship.images.unpack import Place
from boxship.spec import digest as digests
from boxship.spec import reference as references

LOOKS_AT_ONCE = 50  # images looked at in one step of the loop


class Trouble(msgspec.Struct, frozen=True):
    """A record that is not whole: of what, and why."""

    what: str
    why: str


def troubles(catalog: Catalog) -> list[Trouble]:
    """Records of images that cannot be shown, and names that stand for none."""
    found = [
        Trouble(f"image {digests.short(identifier)}", "its config could not be read when the daemon started")
        for identifier in catalog.unreadable
        if not catalog.has(identifier)
    ]
    for name, target in catalog.dangling.items():
        if catalog.target(name) is None:
            why = f"it stands for image {digests.short(target.image)}, which is not here"
            found.append(Trouble(f"name {references.parse(name).familiar}", why))
    return found


async def users_of(catalog: Catalog, key: str) -> list[str]:
    """The images that need a blob or layer, as people know them."""
    users = []
    for count, identifier in enumerate((*catalog.identifiers(), *catalog.hidden())):
        if count % LOOKS_AT_ONCE == 0:
            await asyncio.sleep(0)
        if not catalog.has(identifier):
            continue
        record = catalog.record(identifier)
        if key in keys_of(record) or key in _targets(catalog, identifier):
            names = catalog.image(identifier).references
            users.append(f"image {names[0] if names else digests.short(identifier)}")
    return users


def _targets(catalog: Catalog, identifier: str) -> list[str]:
    found = (catalog.target(name) for name in catalog.names(identifier))
    return [target.digest for target in found if target is not None]


def layer_at(catalog: Catalog, chain_id: str) -> tuple[Layer, Place] | None:
    """A layer that some image has, and where it belongs; None where no image has it."""
    for identifier in (*catalog.identifiers(), *catalog.hidden()):
        below = None
        for layer in catalog.record(identifier).layers:
            if layer.chain_id == chain_id:
                return layer, Place(layer.diff_id, chain_id, below)
            below = layer.chain_id
    return None
