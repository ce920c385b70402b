"""Checks what a tree says as a whole: names that refer to each other, fields that exclude each other, cycles.

It reads trees in long form, whose nodes still know their places, so that every error names its line and, for a name
that is nowhere, the nearest one. It must never change a tree, and never look at a file or the engine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator

from boxship.compose import fields
from boxship.compose.checking_service import SERVICE_CHECKS
from boxship.compose.document import Entry, FileError, Mapping, Node, Scalar
from boxship.compose.trees import nodes_of, section, text_of

# Fields whose "service:NAME" joins another service's namespace.
NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")
GRANT_SOURCES = ("file", "environment", "content", "external")


def check(tree: Mapping) -> None:
    """Raises FileError for the first contradiction, and names the others after it."""
    errors = [error for each in CHECKS for error in each(tree)]
    if errors:
        first, *others = errors
        raise FileError(first.place, "\n".join([first.reason, *(str(error) for error in others)]))


def check_enabled(tree: Mapping, enabled: set[str]) -> None:
    """Raises FileError when a service that is to run depends on one that no active profile enables."""
    for entry in section(tree, "services").entries:
        if entry.key not in enabled or not isinstance(entry.value, Mapping):
            continue
        for name, node, required in dependencies(entry.value):
            if required and name not in enabled:
                profiles = nodes_of(section(section(tree, "services"), name).get("profiles"))
                names = ", ".join(text_of(profile) for profile in profiles)
                reason = f'services.{entry.key}: depends on "{name}", which only the profile {names} enables'
                raise FileError(node.place, reason)


def dependencies(service: Mapping) -> Iterator[tuple[str, Node, bool]]:
    """The services that one needs, said or implied: name, where it stands, whether it must be there."""
    for entry in section(service, "depends_on").entries:
        required = entry.value.get("required") if isinstance(entry.value, Mapping) else None
        yield entry.key, Scalar(entry.key, entry.place), not (isinstance(required, Scalar) and required.value is False)
    for link in nodes_of(service.get("links")):
        yield text_of(link).partition(":")[0], link, True
    for source in nodes_of(service.get("volumes_from")):
        if not text_of(source).startswith("container:"):
            yield text_of(source).partition(":")[0], source, True
    for field in NAMESPACES:
        value = service.get(field)
        if value is not None and text_of(value).startswith("service:"):
            yield text_of(value).removeprefix("service:"), value, True


def _services(tree: Mapping) -> Iterator[tuple[str, Mapping]]:
    for entry in section(tree, "services").entries:
        if isinstance(entry.value, Mapping):
            yield f"services.{entry.key}", entry.value


def _missing(node: Node, path: str, what: str, name: str, names: Iterable[str]) -> FileError:
    near = fields.meant(name, names)
    return FileError(node.place, f'{path}: there is no {what} "{name}"{near}')


def _references(tree: Mapping) -> Iterator[FileError]:
    kinds = ("networks", "volumes", "services", "secrets", "configs")
    known = {kind: dict.fromkeys(section(tree, kind).keys()) for kind in kinds}
    networks, volumes, services = known["networks"], known["volumes"], known["services"]
    for path, service in _services(tree):
        for name, node, _ in dependencies(service):
            if name not in services:
                yield _missing(node, path, "service", name, services)
        for entry in section(service, "networks").entries:
            if entry.key not in networks and entry.key != "default":
                yield _missing(Scalar("", entry.place), f"{path}.networks", "network", entry.key, networks)
        for index, mount in enumerate(nodes_of(service.get("volumes"))):
            if isinstance(mount, Mapping) and text_of(mount.get("type")) == "volume":
                source = mount.get("source")
                if source is not None and text_of(source) and text_of(source) not in volumes:
                    yield _missing(source, f"{path}.volumes[{index}]", "volume", text_of(source), volumes)
        for kind, owner, where in _grants(service):
            for index, grant in enumerate(nodes_of(owner)):
                source = grant.get("source") if isinstance(grant, Mapping) else None
                if source is not None and text_of(source) not in known[kind]:
                    what = kind.removesuffix("s")
                    yield _missing(source, f"{path}.{where}[{index}]", what, text_of(source), known[kind])


def _grants(service: Mapping) -> Iterator[tuple[str, Node | None, str]]:
    yield "secrets", service.get("secrets"), "secrets"
    yield "configs", service.get("configs"), "configs"
    yield "secrets", section(service, "build").get("secrets"), "build.secrets"


def _cycles(tree: Mapping) -> Iterator[FileError]:
    """One error for the first chain that comes back to its beginning."""
    needs = {
        entry.key: {name: node for name, node, _ in dependencies(entry.value)}
        for entry in section(tree, "services").entries
        if isinstance(entry.value, Mapping)
    }
    done: set[str] = set()
    for start in needs:
        chain = _circle(start, needs, done)
        if chain:
            place = needs[chain[-2]][chain[-1]].place
            yield FileError(place, f"services.{chain[-2]}: services depend on each other: {' -> '.join(chain)}")
            return


def _circle(start: str, needs: dict[str, dict[str, Node]], done: set[str]) -> list[str]:
    """The first chain below `start` that comes back to one of its own; `done` are those that are known to have none."""
    above: dict[str, Iterator[str]] = {start: iter(needs.get(start, ()))}
    while above:
        name, others = next(reversed(above.items()))
        other = next(others, None)
        if other is None:
            done.add(name)
            del above[name]
        elif other in above:
            names = list(above)
            return [*names[names.index(other) :], other]
        elif other not in done:
            above[other] = iter(needs.get(other, ()))
    return []


def _service_fields(tree: Mapping) -> Iterator[FileError]:
    for path, service in _services(tree):
        for each in SERVICE_CHECKS:
            for node, reason in each(service):
                yield FileError(node.place, f"{path}{reason}")


def _container_names(tree: Mapping) -> Iterator[FileError]:
    seen: dict[str, str] = {}
    for path, service in _services(tree):
        name = service.get("container_name")
        if name is None:
            continue
        if text_of(name) in seen:
            other = seen[text_of(name)]
            yield FileError(name.place, f'{path}.container_name: {other} has the name "{text_of(name)}" already')
        seen[text_of(name)] = path


def _resources(tree: Mapping) -> Iterator[FileError]:
    for kind in ("networks", "volumes"):
        for entry in section(tree, kind).entries:
            if isinstance(entry.value, Mapping):
                yield from _external(f"{kind}.{entry.key}", entry.value)
    for kind in ("secrets", "configs"):
        for entry in section(tree, kind).entries:
            if isinstance(entry.value, Mapping):
                yield from _external(f"{kind}.{entry.key}", entry.value)
                yield from _material(kind, entry)


def is_external(resource: Mapping) -> bool:
    value = resource.get("external")
    return isinstance(value, Mapping) or (isinstance(value, Scalar) and value.value is True)


def _external(path: str, resource: Mapping) -> Iterator[FileError]:
    if not is_external(resource):
        return
    inner = section(resource, "external").get("name")
    if inner is not None and resource.get("name") is not None:
        yield FileError(inner.place, f"{path}: has both external.name and name")
    for entry in resource.entries:
        if entry.key not in ("external", "name") and not entry.key.startswith("x-"):
            yield FileError(entry.place, f'{path}: is external, so that "{entry.key}" cannot be set')


def _ranges(tree: Mapping) -> Iterator[FileError]:
    """What the engine would refuse only after other things have been made."""
    for network in section(tree, "networks").entries:
        ipam = section(network.value, "ipam") if isinstance(network.value, Mapping) else None
        for index, part in enumerate(nodes_of(ipam.get("config")) if ipam is not None else ()):
            for field in ("subnet", "ip_range", "gateway"):
                node = part.get(field) if isinstance(part, Mapping) else None
                if node is not None and text_of(node) and not _is_range(text_of(node), alone=field == "gateway"):
                    what = "address" if field == "gateway" else 'range of addresses such as "172.30.0.0/16"'
                    path = f"networks.{network.key}.ipam.config[{index}].{field}"
                    yield FileError(node.place, f'{path}: "{text_of(node)}" is no {what}')


def _is_range(text: str, *, alone: bool) -> bool:
    try:
        ipaddress.ip_address(text) if alone else ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return alone or "/" in text


def _material(kind: str, entry: Entry) -> Iterator[FileError]:
    assert isinstance(entry.value, Mapping)
    given = [each for each in entry.value.entries if each.key in GRANT_SOURCES and text_of(each.value) != "False"]
    if len(given) > 1 and not is_external(entry.value):
        yield FileError(given[1].place, f"{kind}.{entry.key}: has both {given[0].key} and {given[1].key}")
    if not given:
        yield FileError(entry.place, f"{kind}.{entry.key}: needs one of {', '.join(GRANT_SOURCES)}")


CHECKS: tuple[Callable[[Mapping], Iterator[FileError]], ...] = (
    _references,
    _cycles,
    _service_fields,
    _container_names,
    _resources,
    _ranges,
)
