"""The jobs that the daemon can ask for, by name. Each prepares with paths of the machine, then confines the program to
the root that it works on, then touches names."""

from __future__ import annotations

import os

from boxship.errors import Conflict, Invalid
from boxship.snapshots.child.account import accounts
from boxship.snapshots.child.compare import Comparison
from boxship.snapshots.child.layer import LayerUnpacker
from boxship.snapshots.child.measure import measure
from boxship.snapshots.child.pack import Packer
from boxship.snapshots.child.source import open_source
from boxship.snapshots.child.tarwrite import Writer

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def confine(root: str | int, users: str = "") -> None:
    """Make a folder the root of this program; descriptors of the job that lead elsewhere are the caller's to close.
    With `users` it goes on as root in the user namespace at that path."""
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if isinstance(root, str) else root
    if users:
        from boxship.sys.identity import join_users

        join_users(users)
    os.fchdir(descriptor)
    os.chroot(".")
    os.close(descriptor)


def mount_view(mounts: Sequence[tuple[str, str, str, Sequence[str]]]) -> None:
    """Make mounts that only this program sees; they end with it. The first is the root, others lie inside it."""
    if mounts:
        from boxship.snapshots.child.view import make

        make(mounts)


def unpack_layer(job: dict[str, Any]) -> dict[str, Any]:
    """Unpack one layer into the folder `root`; `lower` are the folders of the layers below, topmost first, each where
    it may be found. With `wait` they are still being unpacked: a byte on descriptor 5 says that they are whole."""
    update = None
    digest = None
    if job["digest"]:
        import _hashlib  # hashlib's own import costs milliseconds

        digest = _hashlib.openssl_sha256(usedforsecurity=False)
        update = digest.update
    source = open_source(0, update)
    lower = [_open_first(paths) for paths in job["lower"]]
    confine(job["root"])
    LayerUnpacker(lower, 5 if job["wait"] else -1, job["limit"]).run(source)
    if digest is not None and f"sha256:{digest.hexdigest()}" != job["digest"]:
        raise Invalid(f"cannot unpack the layer: its content is sha256:{digest.hexdigest()}, not {job['digest']}")
    root = os.open("/", _LOOK)
    return {"size": measure(root)[0]}


def _open_first(paths: Sequence[str]) -> int:
    """The first of the folders that is there. Raises Conflict where none is any more."""
    for path in paths:
        try:
            return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
    raise Conflict(f"cannot unpack the layer: {paths[0]} below it is gone")


def pack_tree(job: dict[str, Any]) -> None:
    """Write the archive of the tree at `root`; as an image layer where `layer` is set."""
    mount_view(job["mounts"])
    confine(job["root"], job.get("users", ""))
    writer = Writer(1)
    Packer(writer, layer=job["layer"]).folder(os.open("/", _LOOK), "", named=False)
    writer.close()


def pack_layer(job: dict[str, Any]) -> dict[str, Any]:
    """Make the folder `root` fit to be a layer on `lower` (folders, topmost first), and write its archive."""
    from boxship.snapshots.child.layerpack import LayerPacker

    lower = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in job["lower"]]
    confine(job["root"])
    writer = Writer(1)
    packer = LayerPacker(writer, lower, job["epoch"])
    root = os.open("/", _LOOK)
    packer.folder(root, "", named=False)
    writer.close()
    os.close(1)
    return {"entries": packer.entries, "size": packer.size}


def compare(job: dict[str, Any]) -> list[tuple[int, str]]:
    """The changes of `upper` against the mounted `lower`."""
    mount_view(job["mounts"])
    upper = os.open(job["upper"], _LOOK)
    lower = os.open(job["lower"], _LOOK) if job["lower"] else None
    comparison = Comparison()
    comparison.folder(upper, lower, "")
    return sorted(comparison.changes, key=lambda change: change[1])


def usage(job: dict[str, Any]) -> list[tuple[int, int]]:
    """Bytes on the device and inodes of each folder; 0 for one that is not there."""
    sizes = []
    for path in job["paths"]:
        try:
            descriptor = os.open(path, _LOOK | os.O_NOFOLLOW)
        except FileNotFoundError:
            sizes.append((0, 0))
            continue
        sizes.append(measure(descriptor))
        os.close(descriptor)
    return sizes


def account(job: dict[str, Any]) -> dict[str, int]:
    """Bytes on the device below the folder on descriptor 5, by path, as finely as `depths` asks."""
    return accounts(5, job["depths"])


def archive_stat(job: dict[str, Any]) -> dict[str, Any]:
    from boxship.snapshots.child import copy

    return copy.stat_path(job)


def archive_get(job: dict[str, Any]) -> None:
    from boxship.snapshots.child import copy

    copy.get(job)


def archive_put(job: dict[str, Any]) -> None:
    from boxship.snapshots.child import copy

    copy.put(job)


JOBS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "unpack-layer": unpack_layer,
    "pack-tree": pack_tree,
    "pack-layer": pack_layer,
    "compare": compare,
    "usage": usage,
    "account": account,
    "archive-stat": archive_stat,
    "archive-get": archive_get,
    "archive-put": archive_put,
}
