"""The normalised model of one service: defaults of its parts, dependencies that other fields imply.

Plain values in and out. It must never look at another service.
"""

from __future__ import annotations

from typing import Any

Plain = dict[str, Any]

SECRET_FOLDER = "/run/secrets/"
NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")


def service_defaults(key: str, given: Plain, *, normalize: bool = True) -> Plain:
    """The service with its defaults written out. Without `normalize` only those that belong to a single value."""
    service = {**given, "name": key}
    _parts(service)
    if normalize:
        if not service.get("networks") and not service.get("network_mode") and "provider" not in service:
            service["networks"] = {"default": None}
        if service.get("pull_policy") == "if_not_present":
            service["pull_policy"] = "missing"
        _imply(service)
        if "build" in service:
            build = service["build"]
            build.setdefault("context", ".")
            if not build.get("dockerfile") and not build.get("dockerfile_inline"):
                build["dockerfile"] = "Dockerfile"
    return service


def _parts(service: Plain) -> None:
    """Defaults and forms of the items of lists."""
    service.pop("extends", None)
    for owner in (service, service.get("build", {})):
        if "ulimits" in owner:
            limits = owner["ulimits"].items()
            owner["ulimits"] = {name: value if isinstance(value, dict) else {"single": value} for name, value in limits}
    for secret in service.get("secrets", ()):
        secret.setdefault("target", SECRET_FOLDER + secret["source"])
    for port in service.get("ports", ()):
        port.setdefault("mode", "ingress")
        port.setdefault("protocol", "tcp")
    for mount in service.get("volumes", ()):
        if "bind" in mount and mount["type"] == "bind":
            mount["bind"].setdefault("create_host_path", True)
    for device in service.get("devices", ()):
        device.setdefault("target", device["source"])
        device.setdefault("permissions", "rwm")
    reservations = ((service.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    for request in (*service.get("gpus", ()), *reservations.get("devices", ())):
        if not request.get("device_ids"):
            request.setdefault("count", -1)
    if "dns" in service:
        service["dns"] = [server for server in service["dns"] if server]


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
