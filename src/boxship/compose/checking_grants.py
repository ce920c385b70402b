"""Checks that the secrets and configurations of the services to be started can be had: their files, their variables.

It reads them for their digest alone, so that a change of what a container is given can be seen.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Pairs
from typing import Any

from boxship.compose.checking import dependencies, is_external
from boxship.compose.document import FileError, Mapping
from boxship.compose.fields import meant
from boxship.compose.files import Files
from boxship.compose.trees import nodes_of, section, text_of
from boxship.errors import Invalid, NotFound, Unsupported


def check_grants(tree: Mapping, names: Iterable[str], files: Files, environment: Pairs[str, str]) -> None:
    """Raises FileError where a service of `names`, or one that it needs, is given what is not there; Unsupported where
    only a cluster would have it. Paths in the tree are absolute."""
    services = {entry.key: entry.value for entry in section(tree, "services").entries}
    for name in _needed(services, names):
        service = services[name]
        for kind in ("secrets", "configs"):
            for index, grant in enumerate(nodes_of(service.get(kind) if isinstance(service, Mapping) else None)):
                if isinstance(grant, Mapping):
                    path = f"services.{name}.{kind}[{index}]"
                    _check(
                        section(section(tree, kind), text_of(grant.get("source"))),
                        kind,
                        path,
                        grant,
                        files,
                        environment,
                    )


def digests(materials: Pairs[str, dict[str, Any]], files: Files, environment: Pairs[str, str]) -> None:
    """Writes into each secret or configuration the digest of what it holds; nothing where that cannot be had."""
    for material in materials.values():
        held: bytes | None = None
        if "content" in material:
            held = material["content"].encode()
        elif "environment" in material:
            held = environment.get(material["environment"], "").encode("utf-8", "surrogateescape")
        elif "file" in material:
            with contextlib.suppress(NotFound, Invalid):
                held = files.read(material["file"])
        if held is not None:
            material["digest"] = hashlib.sha256(held).hexdigest()


def _needed(services: Pairs[str, object], names: Iterable[str]) -> Iterator[str]:
    """The services of these names and, once each, those that they need."""
    waiting, seen = sorted(names, reverse=True), set[str]()
    while waiting:
        name = waiting.pop()
        service = services.get(name)
        if name in seen or not isinstance(service, Mapping):
            continue
        seen.add(name)
        waiting += (other for other, _, required in dependencies(service) if required)
        yield name


def _check(material: Mapping, kind: str, path: str, grant: Mapping, files: Files, environment: Pairs[str, str]) -> None:
    what = kind.removesuffix("s")
    name = text_of(grant.get("source"))
    if is_external(material):
        raise Unsupported(f"{grant.place}: {path}: unsupported: external {what} {name}: nothing here keeps it")
    file, variable = material.get("file"), material.get("environment")
    if file is not None and not files.exists(text_of(file)):
        raise FileError(file.place, f"{kind}.{name}.file: there is no file {text_of(file)}")
    if variable is not None and text_of(variable) not in environment:
        near = meant(text_of(variable), environment)
        raise FileError(variable.place, f"{kind}.{name}.environment: the variable {text_of(variable)} is not set{near}")
