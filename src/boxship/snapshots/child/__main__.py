"""Entry of the child program: read the job, go into its root, do it, say how it went.

Descriptors: 0 the archive to read, 1 the archive to write, 3 the job (marshal, from the daemon), 4 the result (one
JSON line), from 5 on the folders that the job names by number. After `confine` none of those leads out of the root.
"""

from __future__ import annotations

import _json  # before the chroot, which hides Python's own files
import marshal
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

from boxship.errors import BoxshipError, Internal, Invalid
from boxship.snapshots.child.jobs import JOBS
from boxship.snapshots.child.source import Truncated

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

JOB_FD, RESULT_FD = 3, 4
_OPEN_FILES, _FRAMES = 4096, 4000


def to_json(value: Any) -> str:
    """JSON of plain values; the json module would take as long to import as the rest of the program takes to start."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join([to_json(item) for item in value])}]"
    return "{" + ",".join([f"{_quote(key)}:{to_json(item)}" for key, item in value.items()]) + "}"


def _quote(text: str) -> str:
    clean = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # names may be any bytes
    return str(_json.encode_basestring_ascii(clean))


def _read_all(descriptor: int) -> bytes:
    parts = []
    while part := os.read(descriptor, 1 << 16):
        parts.append(part)
    os.close(descriptor)
    return b"".join(parts)


def run(job: dict[str, Any], jobs: dict[str, Callable[[dict[str, Any]], Any]]) -> dict[str, Any]:
    """The result of a job as plain values."""
    work = jobs[job["kind"]]
    try:
        return {"value": work(job)}
    except BoxshipError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except Truncated:
        return {"error": "Invalid", "message": "cannot read the archive: it ends too early"}
    except BrokenPipeError:
        return {"error": "Canceled", "message": "the reader went away"}
    except RecursionError:
        return {"error": Invalid.__name__, "message": "cannot read the tree: folders nested too deeply"}
    except OSError as error:
        return {"error": Internal.__name__, "message": f"cannot {job['what']}: {error.strerror or error}"}


def raise_limits() -> None:
    """Room for folders nested as deep as we go into: two descriptors and two frames a level."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, hard) if hard >= 0 else _OPEN_FILES, hard))
    sys.setrecursionlimit(_FRAMES)


def main(jobs: dict[str, Callable[[dict[str, Any]], Any]]) -> None:
    """Do the job, and end the process."""
    raise_limits()
    job = marshal.loads(_read_all(JOB_FD))
    sys.path.append(job["packages"])  # codecs that this Python lacks
    answer = (to_json(run(job, jobs)) + "\n").encode()
    view = memoryview(answer)
    while view:
        view = view[os.write(RESULT_FD, view) :]
    os._exit(0)  # nothing to tidy, and the interpreter's own end takes as long as a small job


if __name__ == "__main__":
    main(JOBS)
