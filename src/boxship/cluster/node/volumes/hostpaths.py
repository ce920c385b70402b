"""hostPath: a path of the machine, looked at and, where that is asked for, made. Blocking: for a thread.

Source: kubernetes.io, "Volumes" (hostPath types); the messages are the original's.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from boxship.cluster.node.planning import Mounted
from boxship.cluster.node.volumes.payloads import refused

KINDS: dict[str, tuple[Callable[[int], bool], str]] = {
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "Directory": (stat.S_ISDIR, "a directory"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


# Where log shippers look for logs and for links to them, and where this node keeps both, below the agent's folder.
LOGS, LINKS = Path("/var/log/pods"), Path("/var/log/containers")
OURS: Mapping[Path, str] = {LOGS: "logs", LINKS: "log-links"}


def with_our_logs(source: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
    """The same with this node's own folder, where one is meant in which log shippers look."""
    path = Path(source["path"])
    for known, own in OURS.items():
        if path.is_relative_to(known):
            (root / own).mkdir(mode=0o755, parents=True, exist_ok=True)
            return {**source, "path": str(root / own / path.relative_to(known))}
    for place, folder in our_logs_below(str(path), root).items():
        for one in (path / place, Path(folder)):
            one.mkdir(mode=0o755, parents=True, exist_ok=True)
    return source


def our_logs_below(path: str, root: Path) -> Mapping[str, str]:
    """What has to be shown below a folder of the machine in which those two lie, by the place in it. Pure."""
    if Path(path) not in (LOGS.parent, LOGS.parent.parent):
        return {}
    return {str(known.relative_to(path)): str(root / own) for known, own in OURS.items()}


def host_path(volume: str, source: Mapping[str, Any], root: Path) -> Mounted:
    """What a pod gets that asks for a path of the machine. This node's logs can only be read, whatever the pod asks
    for: whoever could put a link in a log's place would have the node write through it. Raises NotPossible."""
    shown = with_our_logs(source, root)
    found = check_host_path(volume, shown)
    ours = any(Path(found.path).is_relative_to(root / own) for own in OURS.values())
    return msgspec.structs.replace(found, read_only=ours)


def check_host_path(volume: str, source: Mapping[str, Any]) -> Mounted:
    """Raises NotPossible."""
    path, kind = Path(source["path"]), source.get("type") or ""
    try:
        if not os.path.lexists(path):
            if kind in ("", "DirectoryOrCreate"):
                path.mkdir(mode=0o755, parents=True, exist_ok=True)
            elif kind == "FileOrCreate":
                with open(path, "a"):
                    path.chmod(0o644)
        mode = path.stat().st_mode
    except OSError as error:
        wanted = f" is not {KINDS[kind][1]}" if kind in KINDS else f": {(error.strerror or '').lower()}"
        raise refused(volume, f"hostPath type check failed: {path}{wanted}") from error
    if kind in KINDS and not KINDS[kind][0](mode):
        raise refused(volume, f"hostPath type check failed: {path} is not {KINDS[kind][1]}")
    return Mounted("folder" if stat.S_ISDIR(mode) else "file", str(path))
