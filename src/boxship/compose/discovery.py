"""Which files a project is made of, where it lives, and what its .env files add to the environment.

Flags come first, then COMPOSE_* variables of the environment and of .env, then the default file names in the folder and
its parents. A .env beside the caller comes before one beside the files, as in the current Docker Compose. It must never
read the process's own environment: the request carries it.
"""

from __future__ import annotations

import posixpath

from msgspec import Struct

from boxship.compose.document import Place
from boxship.compose.dotenv import parse
from boxship.compose.files import Files
from boxship.compose.gathering import STDIN, Documents, LoadRequest
from boxship.compose.interpolation import unset
from boxship.compose.paths import absolute
from boxship.errors import BoxshipError, Invalid, NotFound

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_TRUE = frozenset("1 t T true TRUE True".split())


class Found(Struct, frozen=True):
    """Where a project is. `directory` is absolute, so are the files ("-" is standard input)."""

    files: tuple[str, ...]
    directory: str
    environment: dict[str, str]
    profiles: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def discover(folder: str, files: Files) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The default files of the folder or of its nearest parent that has one (with an override file where there is one),
    and warnings for further ones that are not taken. No files when there are none."""
    while True:
        found = [path for name in NAMES if files.exists(path := posixpath.join(folder, name))]
        if found:
            overrides = [path for name in OVERRIDES if files.exists(path := posixpath.join(folder, name))]
            warnings = (*_several("config", found), *_several("override", overrides))
            return (found[0], *overrides[:1]), warnings
        parent = posixpath.dirname(folder)
        if parent == folder:
            return (), ()
        folder = parent


def _several(kind: str, found: list[str]) -> tuple[str, ...]:
    if len(found) < 2:
        return ()
    return (f"Found multiple {kind} files with supported names: {', '.join(found)}", f"Using {found[0]}")


def locate(request: LoadRequest, read: Documents) -> Found:
    """Everything about a project that is known before its files are read. Raises NotFound when it has no files."""
    environment = dict(request.environment)
    environment.setdefault("PWD", request.start)
    directory = _directory(request, tuple(_absolute(path, request.start) for path in request.files))
    _add_env_files(request, directory, environment, read)
    files, warnings = _files(request, environment, read)
    if not files:
        raise NotFound("no configuration file provided: not found")
    if _directory(request, files) != directory:
        directory = _directory(request, files)
        _add_env_files(request, directory, environment, read)
    profiles = request.profiles or tuple(each.strip() for each in environment.get("COMPOSE_PROFILES", "").split(","))
    return Found(files, directory, environment, tuple(each for each in profiles if each), warnings)


def _absolute(path: str, folder: str) -> str:
    return path if path == STDIN else absolute(path, folder)


def _files(
    request: LoadRequest, environment: dict[str, str], read: Documents
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files by flag, by COMPOSE_FILE or by the default names; and warnings."""
    separator = environment.get("COMPOSE_PATH_SEPARATOR") or ":"
    named = request.files or tuple(path for path in environment.get("COMPOSE_FILE", "").split(separator) if path)
    if named:
        return tuple(_absolute(path, request.start) for path in named), ()
    return discover(_directory(request, ()), read.files)


def _directory(request: LoadRequest, files: tuple[str, ...]) -> str:
    """The project's folder: as asked for, or that of the first file that has one."""
    if request.directory:
        return absolute(request.directory, request.start)
    return next((posixpath.dirname(path) for path in files if path != STDIN), posixpath.normpath(request.start))


def _add_env_files(request: LoadRequest, directory: str, environment: dict[str, str], read: Documents) -> None:
    """Add what the .env files say; variables that are there already stay."""
    listed = request.environment.get("COMPOSE_ENV_FILES", "")
    named = request.env_files or tuple(path.strip() for path in listed.split(",") if path.strip())
    if named:
        paths = [absolute(path, request.start) for path in named]
    else:
        default = posixpath.join(directory, ".env")
        disabled = request.environment.get("COMPOSE_DISABLE_ENV_FILE", "") in _TRUE
        paths = [] if disabled or not read.files.exists(default) or read.files.is_folder(default) else [default]
    found: dict[str, str] = {}

    def lookup(name: str) -> str | None:
        value = environment.get(name)
        return found.get(name) if value is None else value

    for path in paths:
        found.update(parse(_env_content(path, read), path, lookup, missing=lambda name: _warn(read, name)))
    for name, value in found.items():
        if not name[:1].isdigit():
            environment.setdefault(name, value)


def _warn(read: Documents, name: str) -> None:
    read.warnings[unset(name)] = None


def _env_content(path: str, read: Documents) -> bytes:
    try:
        return read.files.read(path)
    except NotFound:
        raise NotFound(f"cannot read the env file {path}: no such file") from None
    except BoxshipError as error:
        raise Invalid(f"{Place(path)}: {error}") from None
