"""A service's variables and labels, with what its files hold and what the surroundings give.

It reads through `Files` alone. A file that is missing is an error with the place where it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from boxship.compose import dotenv
from boxship.compose.document import FileError, Node
from boxship.compose.document import Mapping as Tree
from boxship.compose.files import Files
from boxship.compose.trees import nodes_of
from boxship.errors import NotFound

Plain = dict[str, Any]


def inherited(values: Mapping[str, str | None], surroundings: Mapping[str, str]) -> dict[str, str | None]:
    """Variables without a value take the surroundings' one; None where there is none."""
    return {name: surroundings.get(name) if value is None else value for name, value in values.items()}


def resolve(service: Plain, tree: Tree, files: Files, surroundings: Mapping[str, str], *, from_files: bool) -> None:
    """Writes the variables and labels of a service out, those of its files first. `tree` is the service with places."""
    own = inherited(service.get("environment", {}), surroundings)
    if "build" in service:
        arguments = inherited(service["build"].get("args", {}), surroundings)
        service["build"]["args"] = {name: value for name, value in arguments.items() if value is not None}
    if from_files:
        found: dict[str, str | None] = {}

        def lookup(name: str) -> str | None:
            known = surroundings.get(name)
            return known if known is not None else {**found, **own}.get(name)

        for entry, node in zip(service.get("env_file", ()), nodes_of(tree.get("env_file")), strict=True):
            required = entry.get("required", True)
            found |= _variables(entry["path"], entry.get("format", ""), required, node, files, lookup)
        own = {**found, **own}
        labels: dict[str, str | None] = {}
        for path, node in zip(service.get("label_file", ()), nodes_of(tree.get("label_file")), strict=True):
            labels |= _variables(path, "", True, node, files, lookup)
        if labels:
            service["labels"] = {**labels, **service.get("labels", {})}
    if own:
        service["environment"] = own


def _variables(
    path: str, form: str, required: bool, node: Node, files: Files, lookup: Callable[[str], str | None]
) -> Mapping[str, str | None]:
    try:
        return dict(dotenv.parse(files.read(path), path, lookup, form))
    except NotFound:
        if required:
            raise FileError(node.place, f"there is no file {path}") from None
        return {}
