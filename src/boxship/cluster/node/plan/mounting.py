"""A container's volume mounts as mounts and devices of the machine. Parts of volumes (subPath) are bound to places of
their own first, by paths that cannot lead out of the volume, whatever links lie in it.

Source: kubernetes.io, "Volumes" (subPath, subPathExpr, recursive read-only mounts, mount propagation), "Raw Block
Volume Support"; the messages are the original's.
"""

import asyncio
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boxship.cluster.node.plan.expanding import UnknownName, expand_strictly
from boxship.cluster.node.plan.facts import NodeFacts
from boxship.cluster.node.planning import Mounted, NotPossible
from boxship.cluster.node.volumes.hostpaths import our_logs_below
from boxship.cluster.node.volumes.mounts import Mounts
from boxship.cluster.objects import Object
from boxship.errors import BoxshipError
from boxship.spec.container import DeviceMapping, MountRequest

NOT_NOW = "CreateContainerConfigError"
PROPAGATION = {"None": "rprivate", "HostToContainer": "rslave"}


async def mounts_of(
    pod: Object,
    container: Mapping[str, Any],
    volumes: Mapping[str, Mounted],
    variables: Mapping[str, str],
    *,
    mounts: Mounts,
    facts: NodeFacts,
) -> list[MountRequest]:
    """Raises NotPossible."""
    found = []
    asked = container.get("volumeMounts") or ()
    taken = {_clean(wanted["mountPath"]) for wanted in asked}
    for index, wanted in enumerate(asked):
        volume = volumes.get(wanted["name"])
        if volume is None or volume.kind == "device":
            why = f'cannot find volume "{wanted["name"]}" to mount into container "{container["name"]}"'
            raise NotPossible(NOT_NOW, why)
        source = volume.path
        part = _part(wanted, variables)
        if part:
            place = (
                facts.root
                / pod["metadata"]["uid"]
                / "volume-subpaths"
                / wanted["name"]
                / container["name"]
                / str(index)
            )
            try:
                await asyncio.to_thread(
                    mounts.pin, Path(source), part, place, read_only=volume.kind == "image", owner=volume.owner
                )
            except (BoxshipError, OSError) as error:
                why = f'failed to prepare subPath for volumeMount "{wanted["name"]}" of container "{container["name"]}"'
                raise NotPossible(NOT_NOW, f"{why}: {error}") from error
            source = str(place)
        found.append(_request(wanted, volume, source))
        for below, folder in our_logs_below(source, facts.root).items():
            target = _clean(f"{wanted['mountPath']}/{below}")
            if target not in taken:  # else the container has something of its own there
                found.append(_request({**wanted, "mountPath": target, "readOnly": True}, volume, folder))
    return found


def _part(wanted: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    """The path inside the volume, "" for all of it."""
    part = wanted.get("subPath") or ""
    if wanted.get("subPathExpr"):
        try:
            part = expand_strictly(wanted["subPathExpr"], variables)
        except UnknownName as error:
            raise NotPossible(NOT_NOW, f'missing value for "{error}"') from error
    if part.startswith("/"):
        raise NotPossible(NOT_NOW, f"error SubPath `{part}` must not be an absolute path")
    if ".." in part.split("/"):
        raise NotPossible(NOT_NOW, f"unable to provision SubPath `{part}`: must not contain '..'")
    return str(part)


def _request(wanted: Mapping[str, Any], volume: Mounted, source: str) -> MountRequest:
    read_only = bool(wanted.get("readOnly")) or volume.read_only
    propagation = wanted.get("mountPropagation") or "None"
    if propagation not in PROPAGATION:
        raise NotPossible(NOT_NOW, f"unsupported: volumeMounts.mountPropagation {propagation}")
    recursive = wanted.get("recursiveReadOnly") or "Disabled"
    return MountRequest(
        kind="bind",
        target=absolute(str(wanted["mountPath"])),
        source=source,
        read_only=read_only,
        propagation=PROPAGATION[propagation],
        read_only_non_recursive=read_only and recursive == "Disabled",
        read_only_force_recursive=read_only and recursive == "Enabled",
        owned=volume.owner > 0,
    )


def absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _clean(path: str) -> str:
    return posixpath.normpath(absolute(str(path)))


def devices_of(container: Mapping[str, Any], volumes: Mapping[str, Mounted]) -> tuple[DeviceMapping, ...]:
    """Raises NotPossible."""
    found = []
    for wanted in container.get("volumeDevices") or ():
        volume = volumes.get(wanted["name"])
        if volume is None or volume.kind != "device":
            why = f'cannot find volume "{wanted["name"]}" to pass into container "{container["name"]}"'
            raise NotPossible(NOT_NOW, why)
        permissions = "rm" if volume.read_only else "rwm"
        found.append(DeviceMapping(volume.path, absolute(str(wanted["devicePath"])), permissions))
    return tuple(found)
