"""Ports that go from one service to another: who holds them now must let go before the new one starts."""

from __future__ import annotations

from boxship.compose.model import Project, Service
from boxship.compose.planning.matching import LIVE
from boxship.compose.planning.observed import Observed, SeenContainer


def fixed_ports(service: Service) -> set[str]:
    """ "8080/tcp" for every port that is published under one number."""
    return {f"{port.published}/{port.protocol}" for port in service.ports if port.published.isdecimal()}


def holders(project: Project, observed: Observed, service: Service) -> list[SeenContainer]:
    """Running containers of the project's other services that hold a port of this one, though by the file they no
    longer should: so they are going to be replaced anyway."""
    wanted = fixed_ports(service)
    found = []
    for seen in observed.containers:
        other = project.services.get(seen.service)
        if other is None or other.name == service.name or seen.one_off or seen.state not in LIVE:
            continue
        if wanted & (set(seen.ports) - fixed_ports(other)):
            found.append(seen)
    return found
