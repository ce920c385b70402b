"""Where every byte under the data root went, by name: the sum is what du says.

The names come from where a thing lies and, for blobs and unpacked layers, from who claims it. Read-only.
"""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from boxship.content import Garbage, layer_key
from boxship.snapshots.accounting import account

# How many levels below a folder are told apart; the folders on the way have accounts for themselves.
DEPTHS = {
    "": 1,
    "builder": 1,
    "containers": 2,
    "content": 1,
    "content/blobs": 2,
    "content/partials": 1,
    "pods": 1,
    "snapshots": 1,
    "snapshots/active": 1,
    "snapshots/layers": 1,
    "volumes": 1,
}
FOLDERS = "folders"
NAMES = {
    "builder/caches": "build cache: volumes",
    "builder/contexts": "build contexts",
    "builder/fetched": "build cache: fetched files",
    "builder/scans": "build cache: checksums",
    "builder/sums": "build cache: checksums",
    "builder/views": "work in progress",
    "content/ingest": "work in progress",
    "content/quarantine": "quarantine: damaged blobs",
    "instance": "the instance's name and lock",
    "local-volumes": "pods: persistent volumes",
    "lock": "the instance's name and lock",
    "node": "keys",
    "registry-token.key": "keys",
    "seccomp": "system call profiles",
    "snapshots/places": "mount points",
    "snapshots/staging": "work in progress",
    "snapshots/trash": "trash",
    "volumes/.pins": "mount points",
    "volumes/.trash": "trash",
}


class UsagePart(msgspec.Struct, frozen=True):
    """One kind of thing: how many there are, their bytes on the disk, the folder (below the data root) they are in."""

    name: str
    size: int
    count: int
    path: str


class Accounting:
    """Measures the data root."""

    def __init__(self, root: Path, garbage: Garbage) -> None:
        self._root = root
        self._garbage = garbage

    async def parts(self) -> tuple[UsagePart, ...]:
        """Every byte in exactly one part; the largest first."""
        found = await account(self._root, DEPTHS)
        claims = {name: list(claims) for name, claims in self._garbage.owners.items()}
        leases = list(self._garbage.leases)
        return await asyncio.to_thread(lambda: summed(found, owners_of(claims, leases)))


def owners_of(claims: Mapping[str, Iterable[str]], leases: Iterable[str]) -> dict[str, str]:
    """Who claims a blob or layer, by key; several have it together. Pure."""
    owners: dict[str, str] = {}
    for name in sorted(claims):
        for key in claims[name]:
            owners[key] = f"{owners[key]} + {name}" if key in owners else name
    for key in leases:
        owners.setdefault(key, "being made")
    return owners


def summed(accounts: Mapping[str, int], owners: Mapping[str, str]) -> tuple[UsagePart, ...]:
    """Accounts by path, as parts by name. Pure."""
    sizes: dict[str, list[int]] = {}
    places: dict[str, str] = {}
    for path, size in accounts.items():
        name, place = name_of(path, owners)
        total = sizes.setdefault(name, [0, 0])
        total[0] += size
        total[1] += 1
        places.setdefault(name, place)
    parts = [UsagePart(name, size, count, places[name]) for name, (size, count) in sizes.items()]
    return tuple(sorted(parts, key=lambda part: (-part.size, part.name)))


def name_of(path: str, owners: Mapping[str, str]) -> tuple[str, str]:
    """What a path below the data root is, and the folder in which such things lie. Pure."""
    match path.split("/"):
        case ["content", "blobs", algorithm, encoded]:
            return f"blobs: {owners.get(f'{algorithm}:{encoded}', 'unclaimed')}", "content/blobs"
        case ["content", "partials", name]:
            kind = "uploads" if name.startswith("registry-") else "downloads"
            return f"partial {kind}", "content/partials"
        case ["snapshots", "layers", encoded]:
            return f"layers: {owners.get(layer_key(f'sha256:{encoded}'), 'unclaimed')}", "snapshots/layers"
        case ["snapshots", "active", _]:
            return "containers: writable layers", "snapshots/active"
        case ["containers", _, name] if ".log" in name:
            return "containers: logs", "containers"
        case ["containers", _, *_]:
            return "containers: files", "containers"
        case ["pods", "logs"]:
            return "pods: logs", "pods/logs"
        case ["pods", "sandboxes"]:
            return "pods: files", "pods/sandboxes"
        case ["pods", _]:
            return "pods: volumes", "pods"
        case ["volumes", name] if not name.startswith("."):
            return "volumes", "volumes"
        case [name] if name.startswith("state.db"):
            return "state store", "state.db"
    if path in NAMES:
        return NAMES[path], path
    if path in DEPTHS or path.startswith("content/blobs") or path in ("snapshots/empty", "snapshots/mapped"):
        return FOLDERS, ""
    return f"other: {path}", path
