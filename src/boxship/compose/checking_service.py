"""Checks one service: fields that exclude or need each other, addresses, and what a list's items must hold.

Each check gives the node that is to be changed and the rest of a message that begins with the service's path.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

from boxship.compose.document import Mapping, Node, Plain, Scalar, Sequence
from boxship.compose.trees import nodes_of, section, text_of

Found = Iterator[tuple[Node, str]]

# A service's own field → the one under deploy that says the same.
SAME = (
    ("scale", ("replicas",)),
    ("cpus", ("resources", "limits", "cpus")),
    ("mem_limit", ("resources", "limits", "memory")),
    ("pids_limit", ("resources", "limits", "pids")),
    ("mem_reservation", ("resources", "reservations", "memory")),
)


def _at(node: Mapping, path: tuple[str, ...]) -> Node | None:
    for step in path[:-1]:
        node = section(node, step)
    return node.get(path[-1])


def _value(node: Node | None) -> Plain:
    return node.value if isinstance(node, Scalar) else None


def _image(service: Mapping) -> Found:
    if not text_of(service.get("image")) and service.get("build") is None and service.get("provider") is None:
        yield service, ": has neither an image nor a build"
    build = section(service, "build")
    inline = build.get("dockerfile_inline")
    if inline is not None and build.get("dockerfile") is not None:
        yield inline, ".build: has both dockerfile and dockerfile_inline"


def _network(service: Mapping) -> Found:
    networks, mode = service.get("networks"), service.get("network_mode")
    if mode is not None and networks is not None:
        yield mode, ": has both network_mode and networks"
    for entry in section(service, "networks").entries:
        for field, version in (("ipv4_address", 4), ("ipv6_address", 6)):
            address = entry.value.get(field) if isinstance(entry.value, Mapping) else None
            if address is not None and _address_version(text_of(address)) != version:
                yield address, f'.networks.{entry.key}.{field}: "{text_of(address)}" is no such address'


def _address_version(text: str) -> int:
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


def _scale(service: Mapping) -> Found:
    deploy = section(service, "deploy")
    for field, path in SAME:
        own, other = service.get(field), _at(deploy, path)
        if _value(own) is not None and _value(other) is not None and _value(own) != _value(other):
            yield own or service, f": {field} and deploy.{'.'.join(path)} differ"
    replicas = _value(service.get("scale")) or _value(deploy.get("replicas"))
    name = service.get("container_name")
    if name is not None and isinstance(replicas, int) and replicas > 1:
        yield name, f'.container_name: {replicas} containers cannot all have the name "{text_of(name)}"'
    for entry in section(service, "networks").entries:
        for field in ("ipv4_address", "ipv6_address", "mac_address"):
            address = entry.value.get(field) if isinstance(entry.value, Mapping) else None
            if address is not None and isinstance(replicas, int) and replicas > 1:
                yield (
                    address,
                    f".networks.{entry.key}.{field}: {replicas} containers cannot all have {text_of(address)}",
                )


def _healthcheck(service: Mapping) -> Found:
    health = section(service, "healthcheck")
    test = health.get("test")
    if isinstance(test, Sequence) and test.items and text_of(test.items[0]) not in ("NONE", "CMD", "CMD-SHELL"):
        yield test, '.healthcheck.test: must begin with "CMD", "CMD-SHELL" or "NONE"'


def _ports(service: Mapping) -> Found:
    published: dict[tuple[str, ...], int] = {}
    for index, port in enumerate(nodes_of(service.get("ports"))):
        if not isinstance(port, Mapping):
            continue
        if port.get("target") is None:
            yield port, f".ports[{index}]: target is missing"
        host_ip, host_port, protocol = (text_of(port.get(key)) for key in ("host_ip", "published", "protocol"))
        if host_ip and not _address_version(host_ip):
            yield port, f'.ports[{index}].host_ip: "{host_ip}" is no address'
        key = (host_ip or "0.0.0.0", host_port, protocol or "tcp")
        if host_port not in ("", "0") and "-" not in host_port and key in published:
            yield port, f".ports[{index}]: the host port {host_port} is that of ports[{published[key]}] already"
        published[key] = index


def _mounts(service: Mapping) -> Found:
    for index, mount in enumerate(nodes_of(service.get("volumes"))):
        if not isinstance(mount, Mapping):
            continue
        kind, path = text_of(mount.get("type")), f".volumes[{index}]"
        if not text_of(mount.get("target")):
            yield mount, f"{path}: target is missing"
        elif kind in ("bind", "image") and not text_of(mount.get("source")):
            yield mount, f"{path}: source is missing"
        elif kind == "tmpfs" and mount.get("source") is not None:
            yield mount.get("source") or mount, f"{path}: a tmpfs has no source"


def _requests(service: Mapping) -> Found:
    reserved = _at(section(service, "deploy"), ("resources", "reservations", "devices"))
    for path, node in ((".deploy.resources.reservations.devices", reserved), (".gpus", service.get("gpus"))):
        for index, request in enumerate(nodes_of(node)):
            if isinstance(request, Mapping) and request.get("count") and request.get("device_ids"):
                yield request, f"{path}[{index}]: has both count and device_ids"


def _watch(service: Mapping) -> Found:
    for index, rule in enumerate(nodes_of(section(service, "develop").get("watch"))):
        if not isinstance(rule, Mapping):
            continue
        action = text_of(rule.get("action"))
        if action.startswith("sync") and not text_of(rule.get("target")):
            yield rule, f".develop.watch[{index}]: the action {action} needs a target"
        if action == "sync+exec" and rule.get("exec") is None:
            yield rule, f".develop.watch[{index}]: the action sync+exec needs exec"


SERVICE_CHECKS: tuple[Callable[[Mapping], Found], ...] = (
    _image,
    _network,
    _scale,
    _healthcheck,
    _ports,
    _mounts,
    _requests,
    _watch,
)
