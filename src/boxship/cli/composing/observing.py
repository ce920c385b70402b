"""The daemon's lists as values of the planner. Pure."""

from __future__ import annotations

import re
from typing import Any

from boxship.cli.times import is_missing, parse_time
from boxship.compose.planning.observed import (
    LABEL_HASH,
    LABEL_IMAGE,
    LABEL_NETWORK,
    LABEL_NUMBER,
    LABEL_ONE_OFF,
    LABEL_SERVICE,
    LABEL_VOLUME,
    SeenContainer,
    SeenNetwork,
    SeenVolume,
)

Object = dict[str, Any]
HEALTHS = {"(healthy)": "healthy", "(unhealthy)": "unhealthy", "(health: starting)": "starting"}
SECOND = 1_000_000_000
_EXITED = re.compile(r"(?:Exited|Restarting) \((-?[0-9]+)\)")


def seen_container(item: Object) -> SeenContainer:
    """One entry of GET /containers/json."""
    labels = item.get("Labels") or {}
    status = item.get("Status") or ""
    exited = _EXITED.match(status)
    number = labels.get(LABEL_NUMBER) or ""
    return SeenContainer(
        id=item["Id"],
        name=first_name(item),
        service=labels.get(LABEL_SERVICE) or "",
        number=int(number) if number.isdigit() else 1,
        one_off=labels.get(LABEL_ONE_OFF) == "True",
        hash=labels.get(LABEL_HASH) or "",
        image=labels.get(LABEL_IMAGE) or item.get("ImageID") or "",
        image_name=item.get("Image") or "",
        state=item.get("State") or "created",
        health=next((health for text, health in HEALTHS.items() if status.endswith(text)), ""),
        exit_code=int(exited[1]) if exited else 0,
        created=int(item.get("Created") or 0) * SECOND,
        labels=labels,
        networks={
            name: endpoint.get("NetworkID") or ""
            for name, endpoint in ((item.get("NetworkSettings") or {}).get("Networks") or {}).items()
        },
        volumes={
            mount["Destination"]: mount.get("Name") or ""
            for mount in item.get("Mounts") or []
            if mount.get("Type") == "volume"
        },
        ports=tuple(
            dict.fromkeys(
                f"{port['PublicPort']}/{port.get('Type') or 'tcp'}"
                for port in item.get("Ports") or []
                if port.get("PublicPort")
            )
        ),
    )


def first_name(item: Object) -> str:
    """The name without its slash; names with a second slash are links."""
    names = [name.removeprefix("/") for name in item.get("Names") or []]
    return next((name for name in names if "/" not in name), names[0] if names else str(item["Id"])[:12])


def seen_network(item: Object) -> SeenNetwork:
    """GET /networks/ID, which knows the containers."""
    labels = item.get("Labels") or {}
    return SeenNetwork(
        id=item["Id"],
        name=item["Name"],
        key=labels.get(LABEL_NETWORK) or "",
        hash=labels.get(LABEL_HASH) or "",
        labels=labels,
        containers=tuple(item.get("Containers") or {}),
    )


def seen_volume(item: Object) -> SeenVolume:
    labels = item.get("Labels") or {}
    return SeenVolume(
        name=item["Name"],
        key=labels.get(LABEL_VOLUME) or "",
        hash=labels.get(LABEL_HASH) or "",
        labels=labels,
        driver=item.get("Driver") or "local",
    )


def pulled_at(image: Object) -> int:
    """When an image got its name here, in nanoseconds since the epoch; 0 where that is not known."""
    text = (image.get("Metadata") or {}).get("LastTagTime") or ""
    return 0 if is_missing(text) else parse_time(text)
