"""The jobs of a build's child program, by name. Each opens what it reads, goes into the root that it writes, then
touches names. A tree is {"folder": path} or {"layers": folders, topmost first, "view": an empty folder}."""

from __future__ import annotations

import os
import stat

from boxship.builder.execution.child.copying import Copier, Look
from boxship.builder.execution.child.counting import RACY_NS, TICK_NS, Count, Counter, Digests, new_hash
from boxship.builder.execution.child.modes import ModeChange
from boxship.builder.execution.child.owners import resolve_owner
from boxship.builder.execution.child.sources import SourceTree
from boxship.builder.execution.child.targets import Place, make_folders, make_room, resolve
from boxship.builder.execution.child.unpacking import Archives, unpack_archive
from boxship.builder.execution.child.wildcards import load_rules, needs_rules
from boxship.errors import BoxshipError, Conflict, Invalid, NotFound
from boxship.snapshots.child.jobs import confine, mount_view
from boxship.snapshots.child.layerpack import LayerPacker
from boxship.snapshots.child.tarwrite import Writer
from boxship.snapshots.child.unpack import refusal
from boxship.sys.path import open_in_root

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_VIEW_OPTIONS = ["index=off", "redirect_dir=off", "metacopy=off"]


def open_trees(trees: list[dict[str, Any]], own: dict[str, Any] | None) -> tuple[list[SourceTree], int]:
    """The trees that are read, and the root that is written (-1 for none): its overlay, or its bare folder."""
    mounts: list[tuple[str, str, str, list[str]]] = []
    for tree in trees:
        if "layers" in tree:
            options = [f"lowerdir+={path}" for path in tree["layers"]]
            mounts.append(("overlay", "overlay", tree["view"], [*options, *_VIEW_OPTIONS, "ro"]))
    if own is not None and own["lower"]:
        options = [f"lowerdir+={path}" for path in own["lower"]]
        options += [f"upperdir={own['upper']}", f"workdir={own['work']}"]
        mounts.append(("overlay", "overlay", own["merged"], [*options, *_VIEW_OPTIONS, "volatile"]))
    mount_view(mounts)
    opened = [
        SourceTree(
            os.open(tree["view"] if "layers" in tree else tree["folder"], _LOOK), tree["origin"], tree.get("ignore", [])
        )
        for tree in trees
    ]
    root = -1
    if own is not None:
        root = os.open(own["merged"] if own["lower"] else own["upper"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return opened, root


def copy(job: dict[str, Any]) -> dict[str, Any]:
    """Copy into a root, and write the archive of what that changed."""
    upper, lower = copy_files(job)
    return pack(upper, lower, job["epoch"])


def fill(job: dict[str, Any]) -> None:
    """Copy into an empty folder."""
    copy_files(job)


def copy_files(job: dict[str, Any]) -> tuple[int, list[int]]:
    """Copy into a root; its upper folder and the layers below it, open."""
    trees, root = open_trees(job["trees"], job["root"])
    upper = os.open(job["root"]["upper"], _LOOK)
    lower = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in job["root"]["chain"]]
    tables = [Digests(source["table"] or "", racy_ns=TICK_NS) for source in job["sources"]]
    archives = Archives()
    for source in job["sources"]:
        if source["unpack"]:
            archives.look(source["tree"], trees[source["tree"]], source["selection"], parents=job["parents"])
    accounts = trees[job["accounts"]].root if job["accounts"] is not None else -1
    if any(needs_rules(source["selection"], parents=job["parents"]) for source in job["sources"]):
        load_rules()
    new_hash()
    confine(root)
    os.umask(0)
    if accounts < 0:
        accounts = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    owner = resolve_owner(accounts, job["owner"]) if job["owner"] else None
    mode = ModeChange(job["mode"]) if job["mode"] else None
    for source, digests in zip(job["sources"], tables, strict=True):
        if source["inline"] is not None:
            name, content = source["inline"]
            _write_inline(name, content, job["destination"], owner or (0, 0), mode)
        else:
            _copy_source(job, source, trees[source["tree"]], digests, archives, (owner, mode))
    return upper, lower


def _copy_source(
    job: dict[str, Any],
    source: dict[str, Any],
    tree: SourceTree,
    digests: Digests,
    archives: Archives,
    wanted: tuple[tuple[int, int] | None, ModeChange | None],
) -> None:
    owner, mode = wanted
    counted = (Count(with_owners=False), digests) if source["expected"] else None
    look = Look(owner or ((0, 0) if source["table"] is not None else None), mode)
    copier = Copier(tree, source["selection"], look, parents=job["parents"], counted=counted)
    name = ""
    try:
        for match in tree.matches(source["selection"], parents=job["parents"]):
            name = match.path
            unpack = source["unpack"] and not copier.excluded_match(match)
            archive = archives.take(source["tree"], match) if unpack else None
            if archive is None:
                copier.copy(match, job["destination"])
            else:
                copier.count_only(match)
                unpack_archive(archive, match.name, job["destination"], owner)
    except OSError as error:
        raise refusal(error, f"cannot copy /{name} to {job['destination']}") from error
    if counted and counted[0].digest() != source["expected"]:
        raise Conflict(f"cannot copy {', '.join(source['selection']['paths'])}: it changed while the build read it")


def _write_inline(name: str, content: bytes, destination: str, owner: tuple[int, int], mode: ModeChange | None) -> None:
    """A file whose content came with the job."""
    place = resolve(destination)
    if destination.endswith("/") or os.path.isdir(place):
        folder, last = place, name
    else:
        folder, _, last = place.rpartition("/")
    descriptor = make_folders(folder, owner, 0o755)
    make_room(Place(descriptor, folder, fresh=False), last)
    target = os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=descriptor)
    view = memoryview(content)
    while view:
        view = view[os.write(target, view) :]
    os.fchown(target, *owner)
    os.fchmod(target, mode.apply(0o644, is_folder=False) if mode else 0o644)
    os.close(target)
    os.close(descriptor)


def make_folder(job: dict[str, Any]) -> dict[str, Any]:
    """WORKDIR: a folder with its parents, and the archive of what that changed."""
    _, root = open_trees([], job["root"])
    upper = os.open(job["root"]["upper"], _LOOK)
    lower = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in job["root"]["chain"]]
    confine(root)
    os.umask(0)
    top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    owner = resolve_owner(top, job["owner"]) if job["owner"] else None
    path = job["path"]
    try:
        os.close(make_folders(resolve(path), owner, 0o755))
    except Invalid:
        raise Invalid(f"cannot make the working directory {path}: a file is in the way") from None
    except OSError as error:
        raise refusal(error, f"cannot make the working directory {path}") from error
    return pack(upper, lower, job["epoch"])


def pack(upper: int, lower: list[int], epoch: int | None) -> dict[str, Any]:
    """Write the archive of the upper folder, which becomes our root."""
    confine(upper)
    writer = Writer(1)
    packer = LayerPacker(writer, lower, epoch)
    root = os.open("/", _LOOK)
    packer.folder(root, "", named=False)
    writer.close()
    os.close(1)
    return {"entries": packer.entries, "size": packer.size}


def checksum(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The digests of several selections of one tree, each {"digest"} or {"error", "message"}; with `lines`, also what
    was counted file by file."""
    (tree,), _ = open_trees([job["tree"]], None)
    digests = Digests(job["table"], racy_ns=RACY_NS)
    answers: list[dict[str, Any]] = []
    for selection, parents in job["selections"]:
        lines: dict[str, str] | None = {} if job["lines"] else None
        count = Count(with_owners="layers" in job["tree"], lines=lines)
        try:
            counter = Counter(tree, selection, count, digests, parents=parents)
            answers.append({"digest": counter.run(), "lines": lines})
        except BoxshipError as error:
            answers.append({"error": type(error).__name__, "message": str(error)})
        except OSError as error:
            refused = refusal(error, f"cannot read {', '.join(selection['paths'])} in the {tree.origin}")
            answers.append({"error": type(refused).__name__, "message": str(refused)})
    digests.save()
    return answers


def read(job: dict[str, Any]) -> None:
    """Write one file of a tree to descriptor 1."""
    (tree,), _ = open_trees([job["tree"]], None)
    path = job["path"]
    try:
        descriptor = open_in_root(tree.root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise NotFound(f"cannot find /{path.strip('/')} in the {tree.origin}") from error
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        raise Invalid(f"cannot read /{path.strip('/')} in the {tree.origin}: it is no regular file")
    left = job["limit"] + 1
    while left > 0 and (data := os.read(descriptor, min(left, 1 << 20))):
        left -= len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
    if left <= 0:
        raise Invalid(f"cannot read /{path.strip('/')} in the {tree.origin}: it has more than {job['limit']} bytes")


JOBS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "copy": copy,
    "fill": fill,
    "make-folder": make_folder,
    "checksum": checksum,
    "read": read,
}
