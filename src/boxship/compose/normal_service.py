"""The normalised model of one service: defaults of its parts, dependencies that other fields imply.

Plain values in and out. It must never look at another service.
"""

from __future__ import annotations

from typing import Any

Plain = dict[str, Any]

SECRET_FOLDER = "/run/secrets/"
NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")


def service_defaults(given: Plain, directory: str, *, normalize: bool = True) -> Plain:
    """The service with its defaults written out, `directory` is the project's. Without `normalize` only those that
    belong to a single value."""
    service = dict(given)
    _parts(service)
    if normalize:
        if not service.get("networks") and not service.get("network_mode") and "provider" not in service:
            service["networks"] = {"default": None}
        if service.get("pull_policy") == "if_not_present":
            service["pull_policy"] = "missing"
        _imply(service)
        if "build" in service:
            build = service["build"]
            build["context"] = build.get("context") or directory
            if not build.get("dockerfile") and not build.get("dockerfile_inline"):
                build["dockerfile"] = "Dockerfile"
    return service


def _parts(service: Plain) -> None:
    """Defaults and forms of the items of lists."""
    service.pop("extends", None)
    for secret in _mappings(service.get("secrets")):
        secret.setdefault("target", SECRET_FOLDER + secret["source"])
    for port in _mappings(service.get("ports")):
        port.setdefault("mode", "ingress")
        port.setdefault("protocol", "tcp")
    for device in _mappings(service.get("devices")):
        device.setdefault("target", device["source"])
        device.setdefault("permissions", "rwm")
    reservations = ((service.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    for request in _mappings([*service.get("gpus", ()), *reservations.get("devices", ())]):
        if not request.get("device_ids"):
            request.setdefault("count", -1)
    for owner in (service, service.get("build", {})):
        if "extra_hosts" in owner:
            owner["extra_hosts"] = sorted(owner["extra_hosts"])
    if "dns" in service:
        service["dns"] = [server for server in service["dns"] if server]


def _mappings(items: list[Any] | None) -> list[Plain]:
    """The items that are written out; a text that still holds a variable is none of them."""
    return [item for item in items or () if isinstance(item, dict)]


def _imply(service: Plain) -> None:
    """Writes the dependencies down that links, shared namespaces and borrowed volumes mean."""
    implied: dict[str, bool] = {}
    for link in service.get("links", ()):
        implied.setdefault(link.partition(":")[0], True)
    for field in NAMESPACES:
        if service.get(field, "").startswith("service:"):
            implied.setdefault(service[field].removeprefix("service:"), True)
    for source in service.get("volumes_from", ()):
        if not source.startswith("container:"):
            implied.setdefault(source.partition(":")[0], False)
    said = dict(service.get("depends_on", {}))
    for name, restart in implied.items():
        said.setdefault(name, {"condition": "service_started", "restart": restart, "required": True})
    if said:
        service["depends_on"] = said
