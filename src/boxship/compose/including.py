"""`include`: other Compose files become part of the project, each read in its own folder and with its own .env.

What is included is imported, not merged: a name that is there already must mean exactly the same. It must never follow
a circle.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from collections.abc import Mapping as Pairs

from msgspec.structs import replace

from boxship.compose.document import Entry, FileError, Mapping, Node, Place, Scalar
from boxship.compose.dotenv import parse
from boxship.compose.gathering import Documents, Scope
from boxship.compose.interpolation import unset
from boxship.compose.paths import absolute, between, resolved
from boxship.compose.trees import nodes_of, plain, section, settled, text_of, with_value, without

SECTIONS = ("services", "networks", "volumes", "secrets", "configs", "models")

# Files → their merged tree, with paths relative to the scope's folder.
Load = Callable[[tuple[str, ...], Scope, Place], Mapping]


def included(document: Mapping, scope: Scope, read: Documents, load: Load) -> Mapping:
    """The document with everything that it includes. `scope.chain` ends with the document's own file."""
    includes = document.get("include")
    document = without(document, "include")
    if includes is None or includes.tag == "!reset":
        return document
    for item in nodes_of(includes):
        document = _imported(document, _load_one(item, scope, read, load))
    return document


def _load_one(item: Node, scope: Scope, read: Documents, load: Load) -> Mapping:
    """The tree that one entry of `include` stands for, its paths as seen from the scope's folder."""
    paths = tuple(nodes_of(item.get("path") if isinstance(item, Mapping) else item))
    if not paths or not all(isinstance(path, Scalar) and text_of(path) for path in paths):
        raise FileError(item.place, "include needs the path of a file")
    files = tuple(absolute(text_of(path), scope.directory) for path in paths)
    if files[0] in scope.chain:
        circle = " includes ".join((*scope.chain[scope.chain.index(files[0]) :], files[0]))
        raise FileError(paths[0].place, f"files include one another in a circle: {circle}")
    given = text_of(item.get("project_directory")) if isinstance(item, Mapping) else ""
    directory = absolute(given, scope.directory) if given else posixpath.dirname(files[0])
    environment = _environment(item, scope, directory, read)
    inner = Scope(directory, environment, scope.chain)
    tree = settled(load(files, inner, paths[0].place))
    assert isinstance(tree, Mapping)
    return resolved(tree, between(directory, scope.directory, read.request.interpolate))


def _environment(item: Node, scope: Scope, directory: str, read: Documents) -> Pairs[str, str]:
    """The including file's environment, over what the env files say."""
    named = nodes_of(item.get("env_file")) if isinstance(item, Mapping) else ()
    default = posixpath.join(directory, ".env")
    found: dict[str, str] = {}
    if named:
        for node in named:
            _read_env(absolute(text_of(node), scope.directory), node.place, scope, found, read)
    elif read.files.exists(default) and not read.files.is_folder(default):
        _read_env(default, item.place, scope, found, read)
    return {**found, **scope.environment} if found else scope.environment


def _read_env(path: str, place: Place, scope: Scope, found: dict[str, str], read: Documents) -> None:
    def lookup(name: str) -> str | None:
        value = scope.environment.get(name)
        return found.get(name) if value is None else value

    content = read.content(path, place)
    found.update(parse(content, path, lookup, missing=lambda name: read.warnings.update({unset(name): None})))


def _imported(document: Mapping, tree: Mapping) -> Mapping:
    for name in SECTIONS:
        added = section(tree, name)
        if added.entries:
            document = with_value(document, name, _union(name, document, added))
    return document


def _union(name: str, document: Mapping, added: Mapping) -> Mapping:
    present = document.get(name)
    own = present if isinstance(present, Mapping) else Mapping((), added.place)
    there = {entry.key: entry.value for entry in own.entries}
    new: list[Entry] = []
    for entry in added.entries:
        before = there.get(entry.key)
        if before is None:
            new.append(entry)
        elif plain(before) != plain(entry.value):
            reason = f"{name}.{entry.key} conflicts with the one in {before.place}: include imports and does not merge"
            raise FileError(entry.place, reason)
    return replace(own, entries=(*own.entries, *new))
