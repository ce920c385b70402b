"""Links to the logs of pods' containers, under the names and with the targets by which log shippers know them:
POD_NAMESPACE_CONTAINER-ID.log → /var/log/pods/NAMESPACE_POD_UID/CONTAINER/ATTEMPT.log. They lead somewhere only
where this node's folders are shown at those places (`volumes.hostpaths`). A link is made before its container starts
and must never outlive its pod. Blocking, shortly.

Source: kubernetes.io, "Logging Architecture".
"""

import contextlib
import logging
import os
from pathlib import Path

from boxship.cluster.node.volumes.hostpaths import LOGS

logger = logging.getLogger(__name__)

SUFFIX = ".log"
LONGEST_NAME = 255  # characters


def link_name(log: Path, id: str) -> str:
    """For the log file of the container with that id. Pure."""
    namespace, pod, _ = log.parent.parent.name.split("_")
    return f"{pod}_{namespace}_{log.parent.name}-{id}"[: LONGEST_NAME - len(SUFFIX)] + SUFFIX


def link(links: Path, log_path: str, id: str) -> None:
    """`log_path` "": the container keeps no log. Where there can be no link, the container has to do without: that
    shippers miss its log is no reason for it not to run."""
    if not log_path:
        return
    log = Path(log_path)
    try:
        links.mkdir(mode=0o755, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(LOGS.joinpath(*log.parts[-3:]), links / link_name(log, id))
    except OSError as error:
        logger.warning("cannot link %s for log shippers: %s", log_path, error)


def unlink(links: Path, log_path: str, id: str) -> None:
    if log_path:
        with contextlib.suppress(OSError):  # then it goes with the pod
            (links / link_name(Path(log_path), id)).unlink()


def unlink_pod(links: Path, folder: str) -> None:
    """All that lead into a pod's folder of logs, whichever way its containers went."""
    namespace, _, rest = folder.partition("_")
    pod = rest.partition("_")[0]
    for path in links.glob(f"{pod}_{namespace}_*{SUFFIX}"):
        with contextlib.suppress(OSError):
            if Path(os.readlink(path)).is_relative_to(LOGS / folder):
                path.unlink()
