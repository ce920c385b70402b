"""How large an emptyDir in memory may become, and how full emptyDirs are. The first is pure.

Source: kubernetes.io, "Volumes" (emptyDir), "Local ephemeral storage".
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boxship.cluster.node.planning import VolumeUse
from boxship.cluster.node.volumes.sources import empty_folder, kind_of
from boxship.cluster.node.volumes.trees import folders
from boxship.cluster.objects import Object
from boxship.cluster.objects.pod_resources import amounts, pod_amounts
from boxship.cluster.objects.quantity import parse

LOOKS = 3  # at a volume whose folders are moved while it is looked at


def memory_size(pod: Object, source: Mapping[str, Any], available: int) -> int:
    """Bytes: the smallest of the volume's limit, the pod's limit of memory where all containers have one, and what the
    node can give. 0 for none."""
    spec = pod["spec"]
    limits = [available]
    if source.get("sizeLimit") is not None:
        limits.append(parse(source["sizeLimit"]).value)
    containers = spec.get("containers") or ()
    if all(amounts((one.get("resources") or {}).get("limits")).get("memory") for one in containers):
        whole = pod_amounts(spec, "limits").get("memory")
        limits.append(whole.value if whole is not None else 0)
    return min((limit for limit in limits if limit > 0), default=0)


def disk_use(root: Path, pod: Object) -> list[VolumeUse]:
    """Blocking. What vanishes meanwhile does not count."""
    found = []
    for volume in pod["spec"].get("volumes") or ():
        if kind_of(volume) == "emptyDir" and not (volume.get("emptyDir") or {}).get("medium"):
            used, inodes = measured(empty_folder(root, pod["metadata"]["uid"], volume["name"]))
            limit = (volume.get("emptyDir") or {}).get("sizeLimit")
            found.append(VolumeUse(volume["name"], used, inodes, parse(limit).value if limit is not None else None))
    return found


def measured(folder: Path | str) -> tuple[int, int]:
    """Bytes on the disk and inodes: the most of some looks, where folders are moved meanwhile and none is through."""
    found = [(0, 0)]
    for _ in range(LOOKS):
        used, inodes, whole = _measure(Path(folder))
        found.append((used, inodes))
        if whole:
            return used, inodes
    return max(found)


def _measure(folder: Path) -> tuple[int, int, bool]:
    """Bytes on the disk and inodes, each file once however many names it has; and whether all was seen."""
    used, seen, whole = 0, set(), False
    with contextlib.suppress(OSError):
        for descriptor, files, _ in folders(folder):
            status = os.fstat(descriptor)
            used += status.st_blocks * 512
            seen.add(status.st_ino)
            for name in files:
                try:
                    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if status.st_ino not in seen:
                    seen.add(status.st_ino)
                    used += status.st_blocks * 512
        whole = True
    return used, len(seen), whole
