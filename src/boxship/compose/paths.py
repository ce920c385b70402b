"""Paths in a project's files, made relative to another folder, or absolute: on trees in long form.

A file that is extended or included speaks of its own folder; before its tree is merged, its paths are rewritten from
there. It must never look at the disk.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from boxship.compose.document import Mapping, Node, Scalar
from boxship.compose.trees import section, text_of, transformed, with_value
from boxship.errors import Unsupported

_PLAIN = (
    "services.*.env_file.*.path",
    "services.*.label_file.*",
    "services.*.develop.watch.*.path",
    "services.*.credential_spec.file",
    "services.*.extends.file",
    "secrets.*.file",
    "configs.*.file",
)
_CONTEXTS = ("services.*.build.context", "services.*.build.additional_contexts.*")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|git@|github\.com/|(service|target|docker-image|oci-layout):")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*://|git@|github\.com/")
_WINDOWS = re.compile(r"[a-zA-Z]:[\\/]|\\\\")


class Folder(Struct, frozen=True):
    """What relative paths are joined to: `path` is absolute, or relative to another folder. `home` stands for "~";
    texts that still hold a variable in front are left alone unless `interpolated`."""

    path: str
    home: str = ""
    interpolated: bool = True

    def join(self, text: str) -> str:
        """The path as seen from where this folder's own path is relative to."""
        if text == "~" or text.startswith("~/"):
            return posixpath.normpath(self.home + text[1:]) if self.home else text
        if not text or text.startswith("/") or _WINDOWS.match(text) or (not self.interpolated and text[0] == "$"):
            return text
        return posixpath.normpath(posixpath.join(self.path, text))


def absolute(path: str, folder: str) -> str:
    """A file's path as a user gave it, joined to the absolute `folder`. Raises Unsupported for a remote one."""
    if _ELSEWHERE.match(path):
        raise Unsupported(f"unsupported: the remote file {path}")
    return posixpath.normpath(posixpath.join(folder, path))


def between(folder: str, origin: str, interpolated: bool) -> Folder:
    """`folder` as seen from `origin`, both absolute."""
    return Folder(posixpath.relpath(folder, origin), "", interpolated)


def resolved(tree: Mapping, folder: Folder) -> Mapping:
    """The tree with every path joined to the folder."""
    for pattern in _PLAIN:
        tree = _at(tree, pattern, lambda node: _joined(node, folder))
    for pattern in _CONTEXTS:
        tree = _at(tree, pattern, lambda node: node if _REMOTE.match(text_of(node)) else _joined(node, folder))
    tree = _at(tree, "services.*.volumes.*", lambda node: _mount(node, folder))
    return _at(tree, "volumes.*", lambda node: _volume(node, folder))


def _at(tree: Mapping, pattern: str, change: Callable[[Node], Node]) -> Mapping:
    changed = transformed(tree, tuple(pattern.split(".")), change)
    return changed if isinstance(changed, Mapping) else tree


def _joined(node: Node, folder: Folder) -> Node:
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or node.tag == "!reset":
        return node
    path = folder.join(node.value)
    return node if path == node.value else replace(node, value=path, text=path)


def _mount(node: Node, folder: Folder) -> Node:
    """A bind mount's source; other mounts have names there."""
    if not isinstance(node, Mapping) or text_of(node.get("type")) != "bind":
        return node
    source = node.get("source")
    return node if source is None else with_value(node, "source", _joined(source, folder))


def _volume(node: Node, folder: Folder) -> Node:
    """The folder behind a local volume that is a bind mount (driver_opts with `o: bind`)."""
    if not isinstance(node, Mapping) or text_of(node.get("driver")) not in ("", "local"):
        return node
    options = section(node, "driver_opts")
    device = options.get("device")
    if device is None or "bind" not in text_of(options.get("o")).split(","):
        return node
    return with_value(node, "driver_opts", with_value(options, "device", _joined(device, folder)))
