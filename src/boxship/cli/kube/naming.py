"""What the words behind a verb mean: "pods", "pod web", "deploy/web svc/web", "pods,services"; or files of objects."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from boxship.cli.call import Call, Failure
from boxship.cli.kube.config import Object
from boxship.cli.kube.server import Kind, Server
from boxship.errors import Invalid

SUFFIXES = (".yaml", ".yml", ".json")
FILE_BYTES = 64 << 20


class Named:
    """One object, or with the name "" all of a kind."""

    __slots__ = ("kind", "name")

    def __init__(self, kind: Kind, name: str = "") -> None:
        self.kind = kind
        self.name = name


def named(server: Server, words: list[str]) -> list[Named]:
    """Raises Failure where the words are neither form."""
    if not words:
        raise Failure("you must specify the type of resource, such as pods or deployment/NAME")
    if any("/" in word for word in words):
        found = []
        for word in words:
            kind, slash, name = word.partition("/")
            if not slash or not kind or not name:
                raise Failure(f"there is no need to name a resource type apart when using TYPE/NAME: {word!r}")
            found.append(Named(server.kind(kind), name))
        return found
    kinds: list[Kind] = []
    for word in words[0].split(","):
        kinds += server.categories(word) or [server.kind(word)]
    return [Named(kind, name) for kind in kinds for name in words[1:] or [""]]


def objects_of(call: Call, server: Server) -> Iterator[Object]:
    """The objects of all files, folders and "-" that -f names, Lists taken apart, in the order of the files."""
    for place in call.options.texts("filename"):
        for path in _files(place, call.options.has("recursive") and call.options.on("recursive")):
            for value in _values(path):
                yield from _apart(value, path)


def _files(place: str, recursive: bool) -> Iterator[str]:
    if place == "-" or not os.path.isdir(place):
        if place.startswith(("http://", "https://")):
            raise Failure(f"unsupported: -f {place}: fetch it and name the file")
        yield place
        return
    for folder, inner, names in os.walk(place):
        yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(SUFFIXES))
        if not recursive:
            return
        inner.sort()


def _values(path: str) -> list[object]:
    from boxship.wire.yaml_text import read_all

    try:
        data = sys.stdin.buffer.read(FILE_BYTES) if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {path}: {(error.strerror or '').lower()}") from None
    try:
        if data.lstrip()[:1] == b"{":
            return [json.loads(data)]
        return list(read_all(data))
    except (Invalid, ValueError) as error:
        raise Failure(f"cannot read {path}: {error}") from None


def _apart(value: object, path: str) -> Iterator[Object]:
    if not isinstance(value, dict) or not value.get("kind") or not value.get("apiVersion"):
        raise Failure(f"cannot use {path}: it holds something that is no object with apiVersion and kind")
    if value["kind"].endswith("List") and isinstance(value.get("items"), list):
        for item in value["items"]:
            yield from _apart(item, path)
        return
    yield value


def namespace_of(server: Server, kind: Kind, made: Object) -> str:
    """Where the object goes: its own namespace, or the request's."""
    if not kind.namespaced:
        return ""
    return str((made.get("metadata") or {}).get("namespace") or server.namespace)
