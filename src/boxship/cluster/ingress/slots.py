"""Which server of a backend stands for which endpoint. A server has a number; endpoints come and go among the numbers,
told to the running program, and only when there are more endpoints than numbers its files are written anew. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from boxship.cluster.ingress.facts import Place

LEAST = 4
Slots = tuple[Place | None, ...]


def first_slots(places: Sequence[Place]) -> Slots:
    """With room for more."""
    size = LEAST
    while size < len(places) * 3 // 2:
        size *= 2
    return (*places, *[None] * (size - len(places)))


def moved(slots: Slots, places: Iterable[Place]) -> Slots | None:
    """The same with the places of now: who stays keeps his number. None: there are not enough."""
    wanted = set(places)
    kept = [place if place in wanted else None for place in slots]
    new = sorted(wanted - set(kept))
    free = [number for number, place in enumerate(kept) if place is None]
    # What stood empty comes first: who has just left may still be finishing.
    free.sort(key=lambda number: slots[number] is not None)
    if len(new) > len(free):
        return None
    for number, place in zip(free, new, strict=False):
        kept[number] = place
    return tuple(kept)


def commands(backend: str, before: Slots, after: Slots) -> list[str]:
    """What the running program is told: first who comes, then who goes."""
    comes, goes = [], []
    for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
        if old == new:
            continue
        server = f"{backend}/e{number}"
        if new is None:
            goes.append(f"set server {server} state maint")
        else:
            comes.append(f"set server {server} state maint")
            comes.append(f"set server {server} addr {new.host} port {new.port}")
            comes.append(f"set server {server} state ready")
    return comes + goes


def all_commands(before: Mapping[str, Slots], after: Mapping[str, Slots]) -> list[str]:
    changed = [name for name, slots in after.items() if name in before and before[name] != slots]
    return [line for name in changed for line in commands(name, before[name], after[name])]
