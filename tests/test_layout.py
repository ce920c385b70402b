"""Holds the arrows between rooms: which room may import which, as data. An import inside a function counts too."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "boxship"

EVERYWHERE = {"errors", "spec", "waiting"}
FLOORS: dict[str, tuple[int, set[str]]] = {
    "errors": (0, set()),
    "spec": (1, set()),
    "waiting": (1, set()),
    "wire": (1, set()),
    "sys": (2, set()),
    "store": (2, {"wire"}),
    "pki": (2, set()),
    "logs": (2, set()),
    "compose": (2, set()),
    "transport": (3, {"wire"}),
    "content": (3, {"store"}),
    "snapshots": (3, {"sys"}),
    "runtime": (3, {"sys"}),
    "volumes": (3, {"sys", "store"}),
    "images": (4, {"content", "transport", "pki"}),
    "network": (4, {"sys", "wire", "transport", "store"}),
    "registry": (4, {"content", "store"}),
    "cli": (4, {"transport", "compose", "pki", "wire"}),
    "engine": (5, {"store", "content", "images", "snapshots", "runtime", "network", "volumes", "logs"}),
    "builder": (5, {"store", "content", "images", "snapshots", "runtime", "network", "sys"}),
    "functions": (6, {"store", "engine"}),
    "cluster": (6, {"store", "pki", "engine", "network", "wire", "transport", "logs"}),
    "doors/docker": (7, {"wire", "transport", "engine", "builder"}),
    "doors/oci": (7, {"wire", "transport", "registry"}),
    "doors/kube": (7, {"wire", "transport", "cluster"}),
    "doors/functions": (7, {"wire", "transport", "functions"}),
}
MAIN_MAY_NOT = {"cli"}

# Inside `cluster`: what each part may import of the others, and which rooms outside.
CLUSTER: dict[str, tuple[set[str], set[str]]] = {
    "objects": (set(), {"wire"}),
    "access": ({"objects"}, {"wire", "transport"}),
    "api": ({"objects", "access"}, {"store", "pki", "wire", "transport"}),
    "reconcile": ({"objects", "access"}, set()),
    "controllers": ({"objects", "access", "reconcile"}, {"pki"}),
    "scheduler": ({"objects", "access", "reconcile"}, set()),
    "node": ({"objects", "access", "reconcile"}, {"engine", "pki", "wire", "transport", "logs"}),
    "proxy": ({"objects", "access", "reconcile"}, {"network"}),
    "dns": ({"objects", "access", "reconcile"}, {"wire", "transport"}),
    "ingress": ({"objects", "access", "reconcile"}, {"pki", "transport"}),
}

# Parts that one room alone may touch, so that they can be replaced there and nowhere else.
ALONE: dict[str, set[str]] = {
    "sqlite3": {"store"},
    "ctypes": {"sys"},
    "aiohttp": {"transport"},
    "dns": {"wire"},
    "cryptography": {"pki"},
    "nacl": {"pki"},
    "yaml": {"compose", "wire"},
    "grpc": {"store"},
    "kubernetes_validate": {"cluster"},
    "socket": {"transport", "sys"},
    "argparse": {"cli", "main"},
}


def room_of(path: Path) -> str:
    """The room a source file belongs to: "engine", or "doors/docker" for the doors."""
    parts = path.relative_to(SOURCE).parts
    return "/".join(parts[:2]) if parts[0] == "doors" and len(parts) > 2 else parts[0]


def imports_of(path: Path) -> Iterator[str]:
    """Every absolute module name that the file imports, wherever in the file the import stands."""
    package = ("boxship", *path.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (origin, node.module or "") if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room_named(module: str) -> str | None:
    """The room that an imported module belongs to, or None for modules outside boxship's rooms."""
    parts = module.split(".")
    if parts[0] != "boxship" or len(parts) < 2 or not (SOURCE / parts[1]).is_dir():
        return None
    return "/".join(parts[1:3]) if parts[1] == "doors" else parts[1]


def sources() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE)


def test_every_arrow_between_rooms_is_in_the_table() -> None:
    wrong = []
    for path in sources():
        room = room_of(path)
        if room in ("main", "doors"):
            allowed = set(FLOORS) - MAIN_MAY_NOT if room == "main" else set()
        else:
            assert room in FLOORS, f"{path}: the room {room} is not in the table"
            allowed = FLOORS[room][1]
        for module in imports_of(path):
            target = room_named(module)
            if target not in (None, room) and target not in allowed | EVERYWHERE:
                wrong.append(f"{path.relative_to(SOURCE)}: {room} may not import {target}")
    assert not wrong, "\n".join(wrong)


def test_the_parts_of_the_cluster_know_only_those_below_them() -> None:
    wrong = []
    for path in sources():
        parts = path.relative_to(SOURCE).parts
        if parts[0] != "cluster" or len(parts) < 3:
            continue
        inside, outside = CLUSTER[parts[1]]
        for module in imports_of(path):
            room = room_named(module)
            part = module.split(".")[2] if room == "cluster" and module.count(".") >= 2 else ""
            if part in CLUSTER and part not in inside | {parts[1]}:
                wrong.append(f"{path.relative_to(SOURCE)}: cluster/{parts[1]} may not import cluster/{part}")
            if room not in (None, "cluster") and room not in outside | EVERYWHERE:
                wrong.append(f"{path.relative_to(SOURCE)}: cluster/{parts[1]} may not import {room}")
    assert not wrong, "\n".join(wrong)


def test_arrows_point_downwards() -> None:
    for room, (floor, targets) in FLOORS.items():
        for target in targets:
            assert FLOORS[target][0] < floor, f"{room} imports {target}, which is not below it"


def test_parts_are_touched_by_their_own_room_only() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}: only {sorted(ALONE[part])} may import {part}"
        for path in sources()
        for part in {module.split(".")[0] for module in imports_of(path)} & set(ALONE)
        if room_of(path) not in ALONE[part]
    ]
    assert not wrong, "\n".join(wrong)


def test_only_main_and_cli_read_argv_and_environment() -> None:
    wrong = []
    for path in sources():
        if room_of(path) in ("main", "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = f"{node.value.id}.{node.attr}"
                if name in ("sys.argv", "os.environ", "os.getenv"):
                    wrong.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {name}")
    assert not wrong, "\n".join(wrong)
