"""A service's variables and labels, with what its files hold and what the surroundings give.

It reads through `Files` alone. A file that is missing is an error with the place where it was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boxship.compose import dotenv
from boxship.compose.document import FileError, Node
from boxship.compose.document import Mapping as Tree
from boxship.compose.files import Files
from boxship.compose.trees import nodes_of
from boxship.errors import Invalid, NotFound

Plain = dict[str, Any]
Pairs = Mapping[str, str]


def inherited(values: Mapping[str, str | None], surroundings: Mapping[str, str]) -> dict[str, str | None]:
    """Variables without a value take the surroundings' one; None where there is none."""
    found = {name: surroundings.get(name) if value is None else value for name, value in values.items()}
    for name, value in found.items():
        try:
            (value or "").encode()
        except UnicodeEncodeError:
            raise Invalid(f"cannot use the variable {name}: its value is not UTF-8") from None
    return found


def resolve(service: Plain, surroundings: Pairs) -> None:
    """Gives a service's variables and its build's arguments the values that they inherit."""
    if "environment" in service:
        service["environment"] = inherited(service["environment"], surroundings)
    if "build" in service:
        arguments = inherited(service["build"].get("args", {}), surroundings)
        service["build"]["args"] = {name: value for name, value in arguments.items() if value is not None}
    for hook in (*service.get("post_start", ()), *service.get("pre_stop", ())):
        if "environment" in hook:
            hook["environment"] = inherited(hook["environment"], surroundings)


def resolve_files(path: str, service: Plain, tree: Tree, files: Files, surroundings: Pairs) -> None:
    """Puts what env_file and label_file hold below the service's own variables and labels; the fields go. `tree` is the
    service with places, `path` its path for messages."""
    own = service.get("environment", {})
    found: dict[str, str] = {}
    labels: dict[str, str] = {}

    def lookup(name: str) -> str | None:
        known = surroundings.get(name)
        return known if known is not None else {**found, **own}.get(name)

    for index, (entry, node) in enumerate(_with_places("env_file", service, tree)):
        content = _content(f"{path}.env_file[{index}]", entry["path"], entry.get("required", True), node, files)
        found |= dotenv.parse(content, entry["path"], lookup, entry.get("format", ""))
    for index, (entry, node) in enumerate(_with_places("label_file", service, tree)):
        labels |= dotenv.parse(_content(f"{path}.label_file[{index}]", entry, True, node, files), entry, lookup)
    service |= {name: {**more, **service.get(name, {})} for name, more in (("environment", found), ("labels", labels))}


def _with_places(field: str, service: Plain, tree: Tree) -> list[tuple[Any, Node]]:
    return list(zip(service.pop(field, ()), nodes_of(tree.get(field)), strict=True))


def _content(where: str, path: str, required: bool, node: Node, files: Files) -> bytes:
    try:
        return files.read(path)
    except NotFound:
        if required:
            raise FileError(node.place, f"{where}: there is no file {path}") from None
        return b""
    except Invalid as error:
        raise FileError(node.place, f"{where}: {error}") from None
