"""Variables that tell a container of services: NAME_SERVICE_HOST and its kin. Pure.

Source: kubernetes.io, "Discovering services: environment variables".
"""

from collections.abc import Iterable
from typing import Any

from boxship.cluster.objects import Object

MASTER_NAMESPACE, MASTER = "default", "kubernetes"


def essential(service: Object) -> tuple[str, tuple[tuple[str, int, str], ...]] | None:
    """What is kept of a service: its address and ports (name, number, protocol); None where it has no address."""
    spec: dict[str, Any] = service.get("spec") or {}
    address = spec.get("clusterIP") or ""
    if address in ("", "None"):
        return None
    ports = spec.get("ports") or ()
    return address, tuple(
        (port.get("name") or "", int(port["port"]), str(port.get("protocol") or "TCP")) for port in ports
    )


def service_variables(services: Iterable[tuple[tuple[str, str], Any]], namespace: str, *, all: bool) -> dict[str, str]:
    """Of the services (`essential`, by namespace and name) that a pod of `namespace` is told: the API's own always, the
    namespace's where `all` (enableServiceLinks)."""
    chosen: dict[str, Any] = {}
    for (place, name), kept in sorted(services, key=lambda item: item[0]):
        if kept is None:
            continue
        if all and place == namespace:
            chosen[name] = kept
        elif place == MASTER_NAMESPACE and name == MASTER:
            chosen.setdefault(name, kept)
    table: dict[str, str] = {}
    for name, (address, ports) in chosen.items():
        table.update(_of_service(name, address, ports))
    return table


def _of_service(name: str, address: str, ports: tuple[tuple[str, int, str], ...]) -> dict[str, str]:
    prefix = name.upper().replace("-", "_")
    shown = f"[{address}]" if ":" in address else address
    table = {f"{prefix}_SERVICE_HOST": address}
    if not ports:
        return table
    table[f"{prefix}_SERVICE_PORT"] = str(ports[0][1])
    for port_name, number, _ in ports:
        if port_name:
            table[f"{prefix}_SERVICE_PORT_{port_name.upper().replace('-', '_')}"] = str(number)
    for index, (_, number, protocol) in enumerate(ports):
        url = f"{protocol.lower()}://{shown}:{number}"
        if index == 0:
            table[f"{prefix}_PORT"] = url
        port = f"{prefix}_PORT_{number}_{protocol.upper()}"
        table[port] = url
        table[f"{port}_PROTO"] = protocol.lower()
        table[f"{port}_PORT"] = str(number)
        table[f"{port}_ADDR"] = address
    return table
