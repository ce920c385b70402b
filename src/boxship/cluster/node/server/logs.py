"""A container's log, as `kubectl logs` asks for it: which container's file, and its lines as they are sent.

Which file it is, is decided by the pod's status, with the original's words where there is none (k8s.io/kubernetes,
pkg/kubelet: GetKubeletContainerLogs). Reading follows rotation; nothing is read ahead of a slow reader.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing

from boxship.cluster.node.runtime import CREATED, EXITED, ContainerStatus
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, bad_request
from boxship.cluster.objects.log_options import STREAMS, LogOptions
from boxship.logs.reader import read_batches
from boxship.spec.log import LogRecord

SECOND = 1_000_000_000
STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
LISTS = ("containers", "initContainers", "ephemeralContainers")
PULLS = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def container_to_read(
    pod: Object, name: str, *, previous: bool, containers: Sequence[ContainerStatus]
) -> ContainerStatus:
    """Whose log it is. `containers` are the pod's that the runtime has. Raises Failure with the original's words."""
    metadata = pod["metadata"]
    shown = metadata["name"]
    if not any(each.get("name") == name for list_ in LISTS for each in pod["spec"].get(list_) or ()):
        raise Failure(404, "NotFound", f'container "{name}" not found in pod "{shown}"')
    mine = sorted((each for each in containers if each.name == name), key=lambda each: (each.attempt, each.created_at))
    begun = [each for each in mine if each.phase != CREATED or each.started_at]
    if previous:
        id = _ended_id(_status_of(pod, name).get("lastState"))
        found = next((each for each in begun if each.id == id), None)
        if found is None:  # the status may be a moment behind the runtime
            ended = [each for each in begun[:-1] if each.phase == EXITED]
            found = ended[-1] if ended else None
        if found is None:
            raise bad_request(f'previous terminated container "{name}" in pod "{shown}" not found')
        return found
    if begun:
        return begun[-1]
    raise bad_request(why_no_log(_status_of(pod, name), name, shown))


def why_no_log(status: Object, name: str, pod: str) -> str:
    """Why a container that never began has no log."""
    state = status.get("state") or {}
    if not status:
        return f'container "{name}" in pod "{pod}" is not available'
    if state.get("terminated") is not None or (status.get("lastState") or {}).get("terminated") is not None:
        return f'container "{name}" in pod "{pod}" is terminated'
    waiting = state.get("waiting")
    if waiting is None:
        return f'container "{name}" in pod "{pod}" is waiting to start - no logs yet'
    reason = waiting.get("reason") or ""
    return f'container "{name}" in pod "{pod}" is waiting to start: {PULLS.get(reason, reason)}'


def _status_of(pod: Object, name: str) -> Object:
    status = pod.get("status") or {}
    for list_ in STATUSES:
        for each in status.get(list_) or ():
            if each.get("name") == name:
                found: Object = each
                return found
    return {}


def _ended_id(state: Object | None) -> str:
    """The runtime's id of a container that has ended, of its state."""
    terminated = (state or {}).get("terminated") or {}
    return str(terminated.get("containerID") or "").rpartition("://")[2]


async def log_lines(path: str, options: LogOptions, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The lines as they are sent. With `follow`, until `ended` says that nobody writes any more."""
    left = options.limit
    batches = read_batches(
        path,
        since=options.since,
        tail=options.tail,
        follow=options.follow,
        ended=ended,
        streams=STREAMS[options.stream],
        merge=not options.timestamps,
    )
    continued = {1: False, 2: False}
    async with aclosing(batches):
        async for batch in batches:
            data = b"".join(_shown(record, continued) if options.timestamps else record.data for record in batch)
            if left is not None:
                data = data[:left]
                left -= len(data)
            if data:
                yield data
            if left == 0:
                return


def _shown(record: LogRecord, continued: dict[int, bool]) -> bytes:
    """With its time in front, unless it goes on with a line."""
    head = b"" if continued[record.stream] else stamp_of(record.time)
    continued[record.stream] = record.partial
    return head + record.data


def stamp_of(moment: int) -> bytes:
    """RFC 3339 in UTC with nanoseconds, and a space."""
    seconds, rest = divmod(moment, SECOND)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z ".encode()
