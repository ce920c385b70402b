"""The rules of `cp`: which path names the container's side, what the copy is called, and packing and unpacking locally.

Names follow cp(1) as Docker does: into an existing folder the source keeps its name, "SOURCE/." copies the contents,
and otherwise the destination is the new name. Unpacking trusts nothing in the archive: it never writes outside of the
destination, also not through a link that the archive made.
"""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from typing import IO, cast

from boxship.errors import Invalid

PIECE = 1 << 18  # bytes
GO_FOLDER = 1 << 31
GO_LINK = 1 << 27


class PathState:
    """What stands at a path. `target` is where a link leads, "" for anything else."""

    __slots__ = ("folder", "target")

    def __init__(self, folder: bool, target: str = "") -> None:
        self.folder = folder
        self.target = target


def split_argument(argument: str) -> tuple[str, str]:
    """(container, path); no container for a local path and for "-"."""
    if argument.startswith("/"):
        return "", argument
    container, colon, path = argument.partition(":")
    return (container, path) if colon and container and not container.startswith(".") else ("", argument)


def decode_state(header: str) -> PathState:
    """The X-Docker-Container-Path-Stat header."""
    import binascii

    try:
        content = json.loads(binascii.a2b_base64(header))
        mode = int(content["mode"])
    except (ValueError, KeyError, TypeError):
        raise Invalid("cannot read the daemon's path header") from None
    return PathState(bool(mode & GO_FOLDER), content.get("linkTarget", "") if mode & GO_LINK else "")


def wants_contents(path: str) -> bool:
    """Whether the path means a folder's contents: "SOURCE/."."""
    return path == "." or path.endswith("/.")


def choose_target(source: str, source_folder: bool, destination: str, state: PathState | None) -> tuple[str, str]:
    """(the folder to unpack in, the new name of the source); an empty name keeps it. `state` is what stands at the
    destination, None for nothing. Raises Invalid where the two do not fit."""
    if state is not None and state.folder:
        return destination, ""
    if state is not None and (source_folder or destination.endswith(("/", "/."))):
        raise Invalid(f"cannot copy to {destination}: it is not a directory")
    if state is None and not source_folder and destination.endswith(("/", "/.")):
        raise Invalid(f"cannot copy to {destination}: no such directory")
    whole = destination.rstrip("/")
    return os.path.dirname(whole) or ("/" if whole.startswith("/") else "."), os.path.basename(whole)


def pack(path: str, name: str, *, follow: bool) -> Iterator[bytes]:
    """A tar stream of a local file or folder, whose first part of every name is `name`."""
    # The archive object only makes headers; the stream is written here, piece by piece.
    with tarfile.open(mode="w", fileobj=io.BytesIO()) as archive:
        top = os.path.realpath(path) if follow or wants_contents(path) or path.endswith("/") else path
        yield from pack_one(archive, top, name)
        for folder, folders, files in os.walk(top):
            folders.sort()
            inner = os.path.normpath(os.path.join(name, os.path.relpath(folder, top)))
            links = [entry for entry in folders if os.path.islink(os.path.join(folder, entry))]
            for entry in sorted([*files, *links]):
                yield from pack_one(archive, os.path.join(folder, entry), os.path.join(inner, entry))
            for entry in folders:
                if entry not in links:
                    yield from pack_one(archive, os.path.join(folder, entry), os.path.join(inner, entry))
    yield bytes(2 * tarfile.BLOCKSIZE)


def pack_one(archive: tarfile.TarFile, path: str, name: str) -> Iterator[bytes]:
    member = archive.gettarinfo(path, name)
    if member is None:
        return  # a socket: it means nothing elsewhere
    moment = os.lstat(path).st_mtime_ns
    member.pax_headers = {"mtime": f"{moment // 1_000_000_000}.{moment % 1_000_000_000:09d}"}
    yield member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if not member.isreg():
        return
    left = member.size
    with open(path, "rb") as file:
        while left and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield piece
    # A file that shrank while it was read is filled up: its header is on its way already.
    while left:
        piece = bytes(min(PIECE, left))
        left -= len(piece)
        yield piece
    if member.size % tarfile.BLOCKSIZE:
        yield bytes(tarfile.BLOCKSIZE - member.size % tarfile.BLOCKSIZE)


class PieceReader:
    """Pieces of bytes as a file to read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""
        self.total = 0

    def read(self, size: int) -> bytes:
        parts, wanted = [self._rest], size - len(self._rest)
        while wanted > 0 and (piece := next(self._pieces, None)) is not None:
            parts.append(piece)
            wanted -= len(piece)
        whole = b"".join(parts)
        self._rest = whole[size:]
        self.total += len(whole[:size])
        return whole[:size]


def unpack(pieces: Iterable[bytes], folder: str, rename: str, *, owners: bool) -> int:
    """Unpack a tar stream in a folder; `rename` is a new first part of every name. Returns the bytes of files. Raises
    Invalid for what is no archive or reaches outside."""
    try:
        return _unpack(pieces, folder, rename, owners)
    except (tarfile.TarError, ValueError) as error:
        raise Invalid(f"cannot unpack the archive: {error}") from None


def _unpack(pieces: Iterable[bytes], folder: str, rename: str, owners: bool) -> int:
    total = 0
    times: list[tuple[str, int]] = []  # of folders: set last, as what is put into them changes them
    with tarfile.open(fileobj=cast(IO[bytes], PieceReader(pieces)), mode="r|") as archive:
        for member in archive:
            path = _place(folder, _parts(member.name, rename))
            if path is None:
                continue
            _unpack_one(archive, member, path, folder, rename)
            if member.isreg():
                total += member.size
            _set_attributes(member, path, owners=owners)
            if member.isdir():
                times.append((path, _modified(member)))
    for path, moment in reversed(times):
        os.utime(path, ns=(moment, moment))
    return total


def _parts(name: str, rename: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Invalid(f"cannot unpack {name!r}: it leads outside")
    if rename and name.split("/")[0] not in (".", ""):
        parts[:1] = [rename]
    elif rename:
        parts.insert(0, rename)
    return parts


def _place(folder: str, parts: list[str]) -> str | None:
    """The path of a member below the folder, with its parents made; None for the folder itself."""
    if not parts:
        return None
    path = folder
    for part in parts[:-1]:
        path = os.path.join(path, part)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            os.mkdir(path)
            continue
        if not stat.S_ISDIR(mode):
            raise Invalid(f"cannot unpack into {path}: it is not a directory")
    return os.path.join(path, parts[-1])


def _unpack_one(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, folder: str, rename: str) -> None:
    present = os.lstat(path).st_mode if os.path.lexists(path) else 0
    if member.isdir():
        if not present:
            os.mkdir(path)
        elif not stat.S_ISDIR(present):
            raise Invalid(f"cannot unpack {path}: a file stands where a directory should be")
        return
    if present and stat.S_ISDIR(present):
        raise Invalid(f"cannot unpack {path}: a directory stands where a file should be")
    if present:
        os.unlink(path)
    if member.issym():
        os.symlink(member.linkname, path)
    elif member.islnk():
        source = _place(folder, _parts(member.linkname, rename))
        if source is None or not stat.S_ISREG(os.lstat(source).st_mode):
            raise Invalid(f"cannot unpack {path}: it is linked to {member.linkname!r}, which is no file")
        os.link(source, path, follow_symlinks=False)
    elif member.isreg():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        content = archive.extractfile(member)
        with open(descriptor, "wb") as file:
            while content and (piece := content.read(PIECE)):
                file.write(piece)
    elif member.isfifo():
        os.mkfifo(path)
    elif member.ischr() or member.isblk():
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        os.mknod(path, kind | 0o600, os.makedev(member.devmajor, member.devminor))


def _set_attributes(member: tarfile.TarInfo, path: str, *, owners: bool) -> None:
    if owners:
        os.lchown(path, member.uid, member.gid)
    if member.islnk():
        return
    if not member.issym():
        os.chmod(path, member.mode & 0o7777 if owners else harmless_mode(member, path))
    moment = _modified(member)
    os.utime(path, ns=(moment, moment), follow_symlinks=False)


def harmless_mode(member: tarfile.TarInfo, path: str) -> int:
    """The mode for a file that becomes the user's own: nobody else may act as him by it, or use a device by it."""
    mode = member.mode & 0o7777
    if member.uid != os.geteuid():
        mode &= ~stat.S_ISUID
    if member.gid != os.lstat(path).st_gid:
        mode &= ~stat.S_ISGID
    return mode & 0o600 if member.isdev() and not member.isfifo() else mode


def _modified(member: tarfile.TarInfo) -> int:
    """Nanoseconds since the epoch; the text of the header, as a float cannot hold them."""
    whole, dot, fraction = member.pax_headers.get("mtime", "").partition(".")
    if dot and whole.isdigit() and fraction.isdigit():
        return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    return int(member.mtime) * 1_000_000_000
