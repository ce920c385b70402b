"""The shape of a case: a context, a Dockerfile, options, and what the build has to leave or to say."""

import io
import tarfile
from dataclasses import dataclass, field
from typing import Any

BOTH = ("docker", "boxship")
OURS = ("boxship",)  # for what the stock client cannot send without its own builder


@dataclass(frozen=True)
class File:
    """In a context: a file to make. In an expectation: what it has to be; None is not looked at."""

    content: str | bytes | None = None
    mode: int | None = None
    owner: str | None = None  # "uid:gid"
    seconds: int | None = None  # time of the last change
    xattrs: dict[str, str] | None = None


@dataclass(frozen=True)
class Folder:
    mode: int | None = None
    owner: str | None = None
    seconds: int | None = None


@dataclass(frozen=True)
class Link:
    target: str
    owner: str | None = None


Entry = str | bytes | File | Folder | Link


@dataclass(frozen=True)
class Case:
    """`files` are looked at in the image, by path; `absent` must not be there. `config` is part of the image's Config
    (None: missing or empty), `image` of its whole description. `history` is what each step is called, oldest first.
    `error` makes it a build that has to fail, with these texts in what the client says. `again`: the second door's
    build does everything anew, else it may use what is cached. `same` demands one digest from both doors."""

    name: str
    dockerfile: str
    context: dict[str, Entry] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    files: dict[str, Entry] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    image: dict[str, Any] = field(default_factory=dict)
    history: tuple[str, ...] | None = None
    error: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    doors: tuple[str, ...] = BOTH
    before: str = ""  # a Dockerfile that is built first, as the image @BEFORE@
    again: bool = True
    same: bool = False
    layers: int | None = None  # above the base's
    filename: str | None = "Dockerfile"


def tar_bytes(members: dict[str, Entry], mode: str = "w") -> bytes:
    """An archive, plain or compressed ("w:gz", "w:bz2", "w:xz")."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, entry in members.items():
            member = tarfile.TarInfo(name)
            member.mtime = 1_000_000_000
            data = b""
            if isinstance(entry, Link):
                member.type, member.linkname = tarfile.SYMTYPE, entry.target
            elif isinstance(entry, Folder):
                member.type, member.mode = tarfile.DIRTYPE, entry.mode or 0o755
            else:
                file = entry if isinstance(entry, File) else File(entry)
                data = file.content.encode() if isinstance(file.content, str) else file.content or b""
                member.size, member.mode = len(data), file.mode or 0o644
                if file.owner:
                    member.uid, member.gid = map(int, file.owner.split(":"))
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
