"""Where a build's files are: the context (a folder, an address, standard input), its Dockerfile and its ignore file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from boxship.cli.call import Failure
from boxship.cli.daemon import Object
from boxship.cli.files import PIECE, read_pieces
from boxship.errors import Invalid, Unsupported
from boxship.spec.ignore import lines_of

DOCKERFILE_BYTES = 4 << 20  # what the daemon takes
IGNORE_BYTES = 1 << 20
MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
TAR_MAGIC_AT = 257
NO_RULES = "#"  # an ignore file that is there and has no rules


class Folder:
    """A folder of this machine as a context. `number` is its stream, if the daemon asks for its files."""

    __slots__ = ("always", "number", "path", "patterns")

    def __init__(self, path: str, number: int, patterns: list[str] | None = None, always: Iterable[str] = ()) -> None:
        self.path = path
        self.number = number
        self.patterns = patterns or []
        self.always = tuple(always)  # sent also where the rules leave it out

    def order(self) -> Object:
        info = os.stat(self.path)
        return {
            "path": self.path,
            "device": info.st_dev,
            "inode": info.st_ino,
            "patterns": self.patterns,
            "stream": self.number,
        }

    def pieces(self) -> Iterator[bytes]:
        from boxship.cli.building.packing import pack_context

        return pack_context(self.path, self.patterns, self.always)


class Archive:
    """An archive on standard input as a context."""

    __slots__ = ("first", "number")

    def __init__(self, first: bytes, number: int) -> None:
        self.first = first
        self.number = number

    def order(self) -> Object:
        return {"stream": self.number}

    def pieces(self) -> Iterator[bytes]:
        yield self.first
        yield from read_pieces(0)


class Place:
    """What was found: a context to send or to be read by its path, or an address, and the Dockerfile's text."""

    __slots__ = ("context", "dockerfile", "remote", "text")

    def __init__(
        self, context: Folder | Archive | None = None, remote: str = "", dockerfile: str = "", text: bytes | None = None
    ) -> None:
        self.context = context
        self.remote = remote
        self.dockerfile = dockerfile
        self.text = text


def is_address(text: str) -> bool:
    """Whether an argument means something to be fetched."""
    if text.startswith(("http://", "https://", "git://", "ssh://", "github.com/", "git@")):
        return True
    user, at, rest = text.partition("@")
    return bool(at and ":" in rest and user.isalnum() and "/" not in user)


def find_place(argument: str, file: str, number: int) -> Place:
    """The context that an argument of build names, and its Dockerfile."""
    if argument == "-":
        return _from_input(file, number)
    if not os.path.isdir(argument):
        if is_address(argument):
            if file == "-":
                return Place(remote=argument, dockerfile="Dockerfile", text=_read_whole(0, "the Dockerfile"))
            return Place(remote=argument, dockerfile=file or "Dockerfile")
        reason = "not a directory" if os.path.lexists(argument) else "not found"
        raise Failure(f"cannot build {argument}: path {reason}")
    return _from_folder(os.path.realpath(argument), file, number)


def _from_input(file: str, number: int) -> Place:
    if file == "-":
        raise Invalid("cannot read both the build context and the Dockerfile from standard input")
    first = b""
    while len(first) < TAR_MAGIC_AT + 8 and (piece := os.read(0, PIECE)):
        first += piece
    if first.startswith(MAGIC) or first[TAR_MAGIC_AT : TAR_MAGIC_AT + 5] == b"ustar":
        return Place(Archive(first, number), dockerfile=file or "Dockerfile")
    if not first:
        raise Failure("cannot build from standard input: it is empty")
    if file:
        raise Invalid(f"cannot use -f {file}: standard input is a Dockerfile, no archive")
    return Place(dockerfile="Dockerfile", text=first + _read_whole(0, "the Dockerfile", DOCKERFILE_BYTES - len(first)))


def _read_whole(descriptor: int, what: str, limit: int = DOCKERFILE_BYTES) -> bytes:
    parts, size = [], 0
    while piece := os.read(descriptor, PIECE):
        parts.append(piece)
        size += len(piece)
        if size > limit:
            raise Invalid(f"cannot read {what}: longer than {DOCKERFILE_BYTES} bytes")
    return b"".join(parts)


def _from_folder(root: str, file: str, number: int) -> Place:
    if file == "-":
        text = _read_whole(0, "the Dockerfile")
        return Place(Folder(root, number, ignore_lines(root, "")), dockerfile="Dockerfile", text=text)
    if is_address(file):
        raise Unsupported(f"unsupported: -f {file} with an address")
    path = _dockerfile(root, file)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Failure(
            f"cannot build {root}: failed to read dockerfile: open {file or 'Dockerfile'}: {reason}"
        ) from None
    try:
        text = _read_whole(descriptor, path)
    finally:
        os.close(descriptor)
    inside = os.path.relpath(os.path.realpath(path), root)
    always = () if inside.startswith("../") else (inside, ".dockerignore")
    name = file or os.path.basename(path)
    return Place(Folder(root, number, ignore_lines(root, path), always), dockerfile=name, text=text)


def _dockerfile(root: str, file: str) -> str:
    """As Docker: relative to where we are, else to the context."""
    if file:
        return file if os.path.isabs(file) or os.path.exists(file) else os.path.join(root, file)
    path = os.path.join(root, "Dockerfile")
    lower = os.path.join(root, "dockerfile")
    return lower if not os.path.lexists(path) and os.path.lexists(lower) else path


def ignore_lines(root: str, dockerfile: str) -> list[str]:
    """The lines of the Dockerfile's own ignore file, else of the context's; none where there is neither."""
    for path in ([f"{dockerfile}.dockerignore"] if dockerfile else []) + [os.path.join(root, ".dockerignore")]:
        try:
            with open(path, "rb") as file:
                content = file.read(IGNORE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if len(content) > IGNORE_BYTES:
            raise Invalid(f"cannot read {path}: longer than {IGNORE_BYTES} bytes")
        return [line for line in lines_of(content, "replace") if line.strip()] or [NO_RULES]
    return []


def named_context(word: str, number: int) -> tuple[str, Folder | str]:
    """ "name=PATH", or "name=ADDRESS" for what the daemon fetches."""
    name, equals, value = word.partition("=")
    name = name.lower()
    if not equals or not name or not value:
        raise Invalid(f"invalid argument {word!r} for --build-context: it must be NAME=PATH or NAME=ADDRESS")
    if value.startswith("oci-layout://"):
        path, colon, rest = value.removeprefix("oci-layout://").partition("@")
        return name, f"oci-layout://{os.path.abspath(path)}{colon}{rest}"
    if value.startswith("docker-image://"):
        return name, value
    if not os.path.isdir(value):
        if is_address(value):
            return name, value
        raise Failure(f"cannot use build context {name}: {value}: no such directory")
    root = os.path.realpath(value)
    return name, Folder(root, number, ignore_lines(root, ""))
