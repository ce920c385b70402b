"""Checks that what is about to be built has its folder and its Dockerfile, before anything is touched."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from boxship.compose.document import FileError, Mapping
from boxship.compose.files import Files
from boxship.compose.trees import section, text_of


def check_builds(tree: Mapping, names: Iterable[str], files: Files) -> None:
    """Raises FileError where the build of a service of `names` begins in a folder, or with a Dockerfile, that is not
    there. Paths in the tree are absolute; addresses are left to the builder."""
    services = section(tree, "services")
    for name in sorted(names):
        build = section(section(services, name), "build")
        context = build.get("context")
        folder = text_of(context) if context is not None else ""
        if not folder.startswith("/") or context is None:
            continue
        if not files.is_folder(folder):
            raise FileError(context.place, f"services.{name}.build.context: there is no folder {folder}")
        file = build.get("dockerfile")
        path = posixpath.join(folder, text_of(file)) if file is not None else ""
        if file is not None and "://" not in text_of(file) and not files.exists(path):
            raise FileError(file.place, f"services.{name}.build.dockerfile: there is no file {path}")
