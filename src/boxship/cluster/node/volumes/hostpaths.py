"""hostPath: a path of the machine, looked at and, where that is asked for, made. Blocking: for a thread.

Source: kubernetes.io, "Volumes" (hostPath types); the messages are the original's.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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


LOGS = Path("/var/log/pods")


def with_our_logs(source: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
    """The same with the folder in which this node keeps its pods' logs, where the one is meant in which every log
    shipper looks for them."""
    path = Path(source["path"])
    if not path.is_relative_to(LOGS):
        return source
    (root / "logs").mkdir(mode=0o755, parents=True, exist_ok=True)
    return {**source, "path": str(root / "logs" / path.relative_to(LOGS))}


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
