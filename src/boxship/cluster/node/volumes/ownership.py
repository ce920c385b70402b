"""fsGroup: a volume's files belong to the pod's group, and what is made in them later, too. Blocking: for a thread.

Source: kubernetes.io, "Configure volume permission and ownership change policy for Pods". Containers may write in the
tree meanwhile, so nothing is followed and every change is made through an open descriptor of its folder.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from boxship.cluster.node.volumes.trees import folders
from boxship.spec.users import COUNT

ON_MISMATCH = "OnRootMismatch"


def strangers(spec: Mapping[str, Any]) -> list[str]:
    """The fields of a pod with users of its own that name none of them: behind such an id are another pod's."""
    return [f"{field} {value}" for field, value in _named(spec) if not 0 <= value < COUNT]


def _named(spec: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    parts = ("initContainers", "containers", "ephemeralContainers")
    for one in (spec, *(container for part in parts for container in spec.get(part) or ())):
        context = one.get("securityContext") or {}
        fields = ("runAsUser", "runAsGroup", "fsGroup")
        yield from ((field, context[field]) for field in fields if context.get(field) is not None)
        yield from (("supplementalGroups", group) for group in context.get("supplementalGroups") or ())


def own(root: Path, group: int, *, policy: str = "", read_only: bool = False) -> None:
    """Give the tree to a group. `policy` OnRootMismatch leaves a tree whose root fits already as it is."""
    bits = 0o440 if read_only else 0o660
    status = os.stat(root, follow_symlinks=False)
    wanted = bits | 0o2110 if stat.S_ISDIR(status.st_mode) else bits
    fits = status.st_gid == group and stat.S_IMODE(status.st_mode) & wanted == wanted
    if policy == ON_MISMATCH and fits:
        return
    if not stat.S_ISDIR(status.st_mode):
        return
    for descriptor, files, _ in folders(root):
        for name in files:
            _give(name, descriptor, group, bits)
        _give_open(descriptor, group, bits)


def _give(name: str, folder: int, group: int, bits: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            os.chown(name, -1, group, dir_fd=folder, follow_symlinks=False)
            return
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return  # gone or replaced meanwhile: whoever did it has it in his hands
    try:
        _give_open(descriptor, group, bits)
    finally:
        os.close(descriptor)


def _give_open(descriptor: int, group: int, bits: int) -> None:
    mode = os.fstat(descriptor).st_mode
    os.fchown(descriptor, -1, group)
    os.fchmod(descriptor, stat.S_IMODE(mode) | bits | (0o2110 if stat.S_ISDIR(mode) else 0))
