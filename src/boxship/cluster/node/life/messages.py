"""What a container said at its end: its termination message, or the end of its log.

Source: documentation "Determine the Reason for Pod Failure".
"""

import os
from pathlib import Path

from boxship.cluster.node.planning import Planner
from boxship.cluster.node.runtime import ContainerStatus
from boxship.cluster.objects import Object
from boxship.errors import BoxshipError
from boxship.waiting import in_thread

FILE_BYTES = 4096
LOG_LINES, LOG_BYTES = 80, 2048
READ_BYTES = 64 * 1024  # of the log's end


async def message_of(planner: Planner, pod: Object, container: Object, run: ContainerStatus) -> str:
    """ "" for none."""
    try:
        data = await planner.message(pod, run.name, run.attempt)
    except (BoxshipError, OSError):
        data = b""
    text = data[:FILE_BYTES].decode(errors="replace")
    fails = run.exit_code != 0 or run.oom_killed
    if not text and fails and container.get("terminationMessagePolicy") == "FallbackToLogsOnError" and run.log_path:
        text = tail(await in_thread(_end_of, run.log_path))
    return text


def tail(data: bytes) -> str:
    """The last lines of a log in the format of the Container Runtime Interface ("TIME stdout F text")."""
    lines = []
    for line in data.splitlines()[-LOG_LINES:]:
        parts = line.split(b" ", 3)
        if len(parts) == 4 and parts[1] in (b"stdout", b"stderr"):
            lines.append(parts[3] + (b"\n" if parts[2].startswith(b"F") else b""))
        else:
            lines.append(line + b"\n")
    return b"".join(lines)[-LOG_BYTES:].decode(errors="replace")


def _end_of(path: str) -> bytes:
    try:
        with Path(path).open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(size - READ_BYTES, 0))
            data = log.read()
    except OSError:
        return b""
    return data.partition(b"\n")[2] if size > READ_BYTES else data
