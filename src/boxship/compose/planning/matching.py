"""A service beside the containers that it has: which stay, which are replaced and why, which go, which are missing.

What a killed run left (a container under a temporary name beside the one that it was to replace) is settled here too:
for each number one container is kept, and it is one that works.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from boxship.compose.model import Project, Service
from boxship.compose.planning.naming import container_name, image_of, is_temporary
from boxship.compose.planning.observed import LABEL_GRANTS, LABEL_IMAGE, Observed, SeenContainer

DIVERGED, FORCE, NEVER = "diverged", "force", "never"
GONE = ("removing", "dead")
LIVE = ("running", "paused", "restarting")


class Wanted(Struct, frozen=True, kw_only=True):
    """What a service is to be. Either hash is its fingerprint. `recreate` is diverged, force or never; `reason` is why
    it must be replaced whatever its containers say ("network front changed"); `rolls`: its replicas are replaced one
    after the other."""

    project: Project
    service: Service
    scale: int
    hash: str
    later_hash: str = ""
    image_id: str = ""  # "" is not known
    grants: str = ""  # fingerprint of what its configurations and secrets hold; "" is not known
    recreate: str = DIVERGED
    reason: str = ""
    rolls: bool = False

    def name(self, number: int) -> str:
        return container_name(self.project, self.service, number)


class Kept(Struct, frozen=True):
    """A container that stays, under the name that it is to have."""

    container: SeenContainer
    name: str


class Replaced(Struct, frozen=True):
    container: SeenContainer
    name: str
    reason: str


class Dropped(Struct, frozen=True):
    """`volumes`: its anonymous volumes are its own."""

    container: SeenContainer
    reason: str
    volumes: bool = False


class Match(Struct, frozen=True):
    """`leftovers` go before anything else is done, `surplus` after it; `missing` are numbers."""

    kept: tuple[Kept, ...] = ()
    replaced: tuple[Replaced, ...] = ()
    leftovers: tuple[Dropped, ...] = ()
    surplus: tuple[Dropped, ...] = ()
    missing: tuple[int, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether containers that are there are replaced."""
        return bool(self.replaced)


def match(wanted: Wanted, observed: Observed) -> Match:
    """Sort the service's containers (not those that were run once)."""
    all_of_it = [seen for seen in observed.containers if seen.service == wanted.service.name and not seen.one_off]
    broken = [seen for seen in all_of_it if seen.state in GONE]
    groups: dict[int, list[SeenContainer]] = {}
    for seen in all_of_it:
        if seen.state not in GONE:
            groups.setdefault(seen.number, []).append(seen)
    reasons = {seen.id: divergence(wanted, seen, observed) for group in groups.values() for seen in group}
    chosen = {number: _best(wanted, group, reasons) for number, group in groups.items()}
    leftovers = [Dropped(seen, "left in the middle of a removal") for seen in broken]
    for number, group in groups.items():
        best = chosen[number]
        leftovers += [
            Dropped(seen, "left in the middle of a replacement", _apart(wanted, seen, best))
            for seen in group
            if seen is not best
        ]
    # The ones that are up to date and have low numbers stay when there are too many.
    staying = sorted(chosen.values(), key=lambda seen: (bool(reasons[seen.id]), seen.number, seen.created))
    surplus = [Dropped(seen, "scaled down", True) for seen in staying[wanted.scale :]]
    kept, replaced = [], []
    for seen in sorted(staying[: wanted.scale], key=lambda seen: seen.number):
        name = _final(wanted, seen)
        if reasons[seen.id]:
            replaced.append(Replaced(seen, wanted.name(seen.number), reasons[seen.id]))
        else:
            kept.append(Kept(seen, name))
    free = (number for number in itertools.count(1) if number not in groups)
    missing = tuple(itertools.islice(free, max(0, wanted.scale - len(staying))))
    return Match(tuple(kept), tuple(replaced), tuple(leftovers), tuple(surplus), missing)


def _final(wanted: Wanted, seen: SeenContainer) -> str:
    """Names that were given by another program stay as they are; those of the middle of a replacement do not."""
    return wanted.name(seen.number) if is_temporary(seen) or wanted.service.container_name else seen.name


def _best(wanted: Wanted, group: list[SeenContainer], reasons: Mapping[str, str]) -> SeenContainer:
    def worth(seen: SeenContainer) -> tuple[bool, bool, bool, bool, int]:
        fits = not reasons[seen.id]
        works = seen.state == "running" and seen.health in ("", "healthy")
        # A replica that is replaced under watch is not taken over half-made: it has yet to show that it works.
        return fits and works, seen.state in LIVE, fits and not wanted.rolls, not is_temporary(seen), seen.created

    return max(group, key=worth)


def _apart(wanted: Wanted, one: SeenContainer, other: SeenContainer) -> bool:
    """Whether two containers have no anonymous volume in common."""
    mine, theirs = (anonymous_volumes(wanted.project, wanted.service, seen).values() for seen in (one, other))
    return not set(mine) & set(theirs)


def divergence(wanted: Wanted, seen: SeenContainer, observed: Observed) -> str:
    """Why a container is not what is wanted, or ""."""
    if wanted.reason:
        return wanted.reason
    if wanted.recreate == NEVER:
        return ""
    if wanted.recreate == FORCE:
        return "recreation was asked for"
    if seen.hash not in (wanted.hash, wanted.later_hash or wanted.hash):
        return "configuration changed"
    image = seen.labels.get(LABEL_IMAGE) or seen.image
    if wanted.image_id and image != wanted.image_id:
        return "image changed"
    grants = seen.labels.get(LABEL_GRANTS)
    if grants and wanted.grants and grants != wanted.grants:
        return "configurations or secrets changed"
    return _network_change(wanted, seen, observed) or _volume_change(wanted, seen)


def _network_change(wanted: Wanted, seen: SeenContainer, observed: Observed) -> str:
    ids = {network.name: network.id for network in observed.networks}
    for key in wanted.service.networks:
        network = wanted.project.networks.get(key)
        if network is None:
            continue
        has, there = seen.networks.get(network.name, ""), ids.get(network.name, "")
        if network.name not in seen.networks:
            return f"not in network {network.name}"
        if has and has != there:
            return f"network {network.name} was made again"
    return ""


def _volume_change(wanted: Wanted, seen: SeenContainer) -> str:
    for mount in wanted.service.volumes:
        volume = wanted.project.volumes.get(mount.source) if mount.type == "volume" else None
        has = seen.volumes.get(mount.target, "")
        if volume is not None and has and has != volume.name:
            return f"volume at {mount.target} changed"
    return ""


def anonymous_volumes(project: Project, service: Service, seen: SeenContainer) -> dict[str, str]:
    """Path → volume of those that have no name in the file: what the next container takes over."""
    named = {mount.target for mount in service.volumes if mount.type == "volume" and mount.source}
    known = {volume.name for volume in project.volumes.values()}
    return {path: name for path, name in seen.volumes.items() if path not in named and name not in known}


def images_of(project: Project, services: Iterable[Service], observed: Observed) -> dict[str, str]:
    """Service → id of its image, for those that are here."""
    names = {service.name: image_of(project, service) for service in services}
    return {name: observed.images[image] for name, image in names.items() if image in observed.images}


def orphans(project: Project, observed: Observed) -> list[SeenContainer]:
    """Containers of the project that no service in the file has, and those that ran once and ended."""
    known: Collection[str] = {*project.services, *project.disabled}
    return [
        seen
        for seen in observed.containers
        if (seen.state in ("exited", "dead") if seen.one_off else seen.service not in known)
    ]
