"""Finds the device nodes that a container is offered: those named by --device, and all of them for privileged ones.

It looks at the machine's files and never opens a device.
"""

import os
import stat
from collections.abc import Iterator, Sequence

from boxship.errors import Invalid
from boxship.spec.container import DeviceMapping

# Folders of /dev that a container has its own of, or that belong to the machine's own programs.
_SKIPPED_FOLDERS = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
# Nodes that the runtime makes in every container.
_OWN_NODES = frozenset(
    f"/dev/{name}" for name in ("null", "zero", "full", "tty", "random", "urandom", "ptmx", "console")
)
_DEPTH_LIMIT = 32


def expand(devices: Sequence[DeviceMapping]) -> tuple[DeviceMapping, ...]:
    """The nodes that the mappings name, folders walked. Raises Invalid with Docker's text for what is no device."""
    return tuple(node for mapping in devices for node in _expand(mapping))


def all_nodes(folder: str = "/dev") -> tuple[DeviceMapping, ...]:
    """Every node of the machine that a container doesn't have by itself, where the machine has it."""
    return tuple(
        DeviceMapping(path, path) for path in sorted(_nodes(folder, _SKIPPED_FOLDERS)) if path not in _OWN_NODES
    )


def _expand(mapping: DeviceMapping) -> list[DeviceMapping]:
    permissions = mapping.permissions or "rwm"
    if set(permissions) - set("rwm") or len(set(permissions)) != len(permissions):
        raise Invalid(f"invalid device mode: {permissions}")
    target = mapping.container_path or mapping.host_path
    if not target.startswith("/"):
        raise Invalid(f"invalid device path: {target} is not an absolute path")
    try:
        if not mapping.host_path.startswith("/"):
            raise FileNotFoundError(2, "no such file or directory")
        source = os.path.realpath(mapping.host_path, strict=True)
        mode = os.stat(source).st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _refused(mapping, reason[:1].lower() + reason[1:]) from error
    if _is_node(mode):
        return [DeviceMapping(source, target, permissions)]
    if not stat.S_ISDIR(mode):
        raise _refused(mapping, "not a device node")
    found = [
        DeviceMapping(path, target.rstrip("/") + path[len(source) :], permissions)
        for path in sorted(_nodes(source, _SKIPPED_FOLDERS))
    ]
    if not found:
        raise _refused(mapping, "not a device node")
    return found


def _refused(mapping: DeviceMapping, reason: str) -> Invalid:
    return Invalid(f'error gathering device information while adding custom device "{mapping.host_path}": {reason}')


def _nodes(folder: str, skipped: frozenset[str], depth: int = 0) -> Iterator[str]:
    """Paths of the nodes below the folder; symlinks aren't followed, what vanishes meanwhile is left out."""
    if depth > _DEPTH_LIMIT:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in skipped:
                    yield from _nodes(entry.path, skipped, depth + 1)
            elif not entry.is_file(follow_symlinks=False) and _is_node(entry.stat(follow_symlinks=False).st_mode):
                yield entry.path
        except OSError:
            continue


def _is_node(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
