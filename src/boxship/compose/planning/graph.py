"""A project as a picture: which services there are, what they depend on, which networks and volumes they share. Pure.

Each service has a row of its own, below those that depend on it and further to the right the deeper it lies. What
services share is a line with a dot for each: what is depended on runs down on the left, networks and volumes on the
right. So no line ever crosses a box, whatever the project looks like. `graph_svg` and `graph_text` draw it.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from boxship.compose.model import Project, Service
from boxship.compose.parts import Port
from boxship.compose.planning.naming import image_of
from boxship.compose.planning.observed import Observed
from boxship.compose.planning.selecting import ordered
from boxship.compose.planning.why import works

LABELS = {"service_healthy": "healthy", "service_completed_successfully": "completed", "service_started": ""}


class Node(Struct, frozen=True, kw_only=True):
    """A service. `layer` is how many steps it lies below those that nothing depends on; `state` is up, partly, done,
    down, what all its containers are (starting, unhealthy, paused, restarting), or "" when nobody looked; `details` are
    the lines below its name."""

    name: str
    row: int
    layer: int
    replicas: int = 1
    state: str = ""
    details: tuple[str, ...] = ()

    @property
    def light(self) -> str:
        """The state as a traffic light has it: up, partly or down."""
        return {"up": "up", "done": "up", "partly": "partly", "starting": "partly", "paused": "partly"}.get(
            self.state, "down"
        )


class Tie(Struct, frozen=True):
    """One service on a line: its row, and a word beside it (a condition, an address, a path)."""

    row: int
    text: str = ""


class Lane(Struct, frozen=True, kw_only=True):
    """Everything that depends on the service in row `target`. Lanes with the same `place` do not touch; 0 is next to
    the boxes."""

    target: int
    place: int
    ties: tuple[Tie, ...]


class Line(Struct, frozen=True, kw_only=True):
    """A network or a volume, in the order from left to right."""

    kind: str  # network or volume
    name: str
    note: str = ""
    ties: tuple[Tie, ...] = ()


class Graph(Struct, frozen=True, kw_only=True):
    name: str
    nodes: tuple[Node, ...] = ()
    lanes: tuple[Lane, ...] = ()
    lines: tuple[Line, ...] = ()


def graph(project: Project, observed: Observed | None = None) -> Graph:
    """The project's picture; with what is there, each service says how it is."""
    layers = _layers(project.services)
    names = sorted(project.services, key=lambda name: (layers[name], list(project.services).index(name)))
    rows = {name: row for row, name in enumerate(names)}
    nodes = tuple(_node(project, project.services[name], rows[name], layers[name], observed) for name in names)
    return Graph(
        name=project.name,
        nodes=nodes,
        lanes=_lanes(project.services, rows),
        lines=(*_networks(project, rows), *_volumes(project, rows)),
    )


def _layers(services: Mapping[str, Service]) -> dict[str, int]:
    """Service → the longest way to it from one that nothing depends on."""
    layers = dict.fromkeys(services, 0)
    for name in reversed(ordered(services)):
        for other in services[name].depends_on:
            if other in layers:
                layers[other] = max(layers[other], layers[name] + 1)
    return layers


def _node(project: Project, service: Service, row: int, layer: int, observed: Observed | None) -> Node:
    details = [image_of(project, service)]
    details += [_port(port) for port in service.ports]
    details += [
        f"{mount.source} → {mount.target}{':ro' * mount.read_only}" for mount in service.volumes if mount.source
    ]
    details += [f"{key} {how.ipv4_address}" for key, how in service.networks.items() if how and how.ipv4_address]
    return Node(
        name=service.name,
        row=row,
        layer=layer,
        replicas=service.replicas,
        state=_state(project, service, observed) if observed is not None else "",
        details=tuple(details),
    )


def _state(project: Project, service: Service, observed: Observed) -> str:
    """One word for all containers of a service."""
    mine = [seen for seen in observed.containers if seen.service == service.name and not seen.one_off]
    good = sum(works(seen) for seen in mine)
    if good:
        return "up" if good >= service.replicas else "partly"
    if mine and all(seen.state == "exited" and seen.exit_code == 0 for seen in mine) and _completes(project, service):
        return "done"
    words = {seen.health if seen.state == "running" else seen.state for seen in mine}
    word = words.pop() if len(words) == 1 else ""
    return word if word in ("starting", "unhealthy", "paused", "restarting") else "down"


def _completes(project: Project, service: Service) -> bool:
    """Whether somebody waits for the service to end."""
    hows = (other.depends_on.get(service.name) for other in project.services.values())
    return any(how is not None and how.condition == "service_completed_successfully" for how in hows)


def _port(port: Port) -> str:
    where = f"{port.host_ip}:" if port.host_ip else ""
    protocol = "" if port.protocol == "tcp" else f"/{port.protocol}"
    return f"{where}{port.published or '(any)'} → {port.target}{protocol}"


def _lanes(services: Mapping[str, Service], rows: Mapping[str, int]) -> tuple[Lane, ...]:
    """One lane for each service that others depend on; short ones next to the boxes."""
    wanted = []
    for name, row in rows.items():
        ties = [
            Tie(rows[other.name], LABELS.get(other.depends_on[name].condition, ""))
            for other in services.values()
            if name in other.depends_on and other.name in rows
        ]
        if ties:
            wanted.append((row - min(tie.row for tie in ties), row, tuple(sorted(ties, key=lambda tie: tie.row))))
    placed: list[list[tuple[int, int]]] = []
    lanes = []
    for _, row, tied in sorted(wanted):
        span = (tied[0].row, row)
        place = next(
            (at for at, spans in enumerate(placed) if all(_apart(span, other) for other in spans)), len(placed)
        )
        if place == len(placed):
            placed.append([])
        placed[place].append(span)
        lanes.append(Lane(target=row, place=place, ties=tied))
    return tuple(lanes)


def _apart(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """A lane ends in the row where another begins at another height: rows may be shared, ranges not."""
    return one[1] < other[0] or other[1] < one[0]


def _networks(project: Project, rows: Mapping[str, int]) -> list[Line]:
    lines = []
    for key, network in project.networks.items():
        ties = []
        for name, row in rows.items():
            joined = project.services[name].networks
            if key in joined:
                how = joined[key]
                ties.append(Tie(row, (how.ipv4_address or how.ipv6_address) if how is not None else ""))
        notes = [word for word, holds in (("external", network.external), ("internal", network.internal)) if holds]
        if ties:
            lines.append(Line(kind="network", name=key, note=", ".join(notes), ties=tuple(ties)))
    return lines


def _volumes(project: Project, rows: Mapping[str, int]) -> list[Line]:
    lines = []
    for key, volume in project.volumes.items():
        ties = []
        for name, row in rows.items():
            mounts = [
                mount for mount in project.services[name].volumes if mount.type == "volume" and mount.source == key
            ]
            if mounts:
                text = ", ".join(mount.target + (":ro" if mount.read_only else "") for mount in mounts)
                ties.append(Tie(row, text))
        if ties:
            lines.append(Line(kind="volume", name=key, note="external" if volume.external else "", ties=tuple(ties)))
    return lines
