"""The normalised model of a whole tree: names, defaults, and what one part implies for another.

Plain values in (a tree in long form without its places), a Project out. It must never read a file: contents come in
through `normal_environment`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.compose import schema
from boxship.compose.canonical import EXTENSION
from boxship.compose.document import Mapping as Tree
from boxship.compose.document import Node, Scalar, Sequence
from boxship.compose.model import Project
from boxship.compose.normal_service import service_defaults
from boxship.errors import Internal

Plain = dict[str, Any]


def plain(kind: schema.Kind, node: Node) -> Any:
    """A tree in long form as plain values of the model: `x-` fields are gathered under `extensions`, and fields that
    hold nothing are left out."""
    if isinstance(kind, schema.Either):
        kind = kind.scalar if isinstance(node, Scalar) else kind.other
    if isinstance(node, Tree):
        if isinstance(kind, schema.Record):
            return _record(kind, node)
        inner = kind.item if isinstance(kind, schema.Named) else schema.Anything()
        return {entry.key: plain(inner, entry.value) for entry in node.entries}
    if isinstance(node, Sequence):
        inner = kind.item if isinstance(kind, schema.Many) else schema.Anything()
        return [plain(inner, item) for item in node.items]
    return node.value


def _record(kind: schema.Record, node: Tree) -> Plain:
    found: Plain = {}
    extensions: Plain = {}
    for entry in node.entries:
        if entry.key.startswith(EXTENSION):
            extensions[entry.key] = plain(schema.Anything(), entry.value)
        else:
            value = plain(kind.fields[entry.key].kind, entry.value)
            if value is not None:
                found[entry.key] = value
    return {**found, "extensions": extensions} if extensions else found


def project_of(given: Plain, name: str, directory: str, *, normalize: bool = True) -> Plain:
    """The plain model of a project with its defaults and names, `directory` stands for its folder. What the caller
    knows beside the files (`environment` and the like) is its to add."""
    model = {key: value for key, value in given.items() if key not in ("version", "include")}
    model["name"] = name
    for kind in ("networks", "volumes", "secrets", "configs", "services"):
        model[kind] = {key: value or {} for key, value in model.get(kind, {}).items()}
    for key, service in model["services"].items():
        model["services"][key] = service_defaults(service, directory, normalize=normalize)
    if normalize and any("default" in service.get("networks", {}) for service in model["services"].values()):
        model["networks"].setdefault("default", {})
    for kind in ("networks", "volumes", "secrets", "configs"):
        for key, resource in model[kind].items():
            _name(resource, key, name if normalize else "")
    return model


def _name(resource: Plain, key: str, project: str) -> None:
    """Gives a resource its name in the engine: what was said, or its key with the project's name before it."""
    external = resource.get("external")
    if isinstance(external, Mapping):
        resource["external"] = True
        if external.get("name"):
            resource["name"] = external["name"]
    if project and not resource.get("name"):
        resource["name"] = key if resource.get("external") else f"{project}_{key}"


def converted(model: Plain) -> Project:
    """The typed project. A value that does not fit is our own mistake: the table of fields has let it through."""
    for key, service in (*model["services"].items(), *model["disabled"].items()):
        service["name"] = key
        for owner in (service, service.get("build", {})):
            if "ulimits" in owner:
                owner["ulimits"] = {name: _limits(value) for name, value in owner["ulimits"].items()}
    try:
        return msgspec.convert(model, Project)
    except msgspec.ValidationError as error:
        raise Internal(f"cannot read the model of {model['name']}: {error}") from None


def _limits(value: int | Plain) -> Plain:
    return value if isinstance(value, dict) else {"single": value}


def used(project: Project) -> Project:
    """The project with only the networks, volumes, secrets and configurations that its enabled services use."""
    services = project.services.values()
    networks = {name for service in services for name in service.networks}
    volumes = {mount.source for service in services for mount in service.volumes if mount.type == "volume"}
    secrets = {grant.source for service in services for grant in service.secrets}
    secrets |= {grant.source for service in services if service.build for grant in service.build.secrets}
    configs = {grant.source for service in services for grant in service.configs}
    return msgspec.structs.replace(
        project,
        networks={name: value for name, value in project.networks.items() if name in networks},
        volumes={name: value for name, value in project.volumes.items() if name in volumes},
        secrets={name: value for name, value in project.secrets.items() if name in secrets},
        configs={name: value for name, value in project.configs.items() if name in configs},
    )
