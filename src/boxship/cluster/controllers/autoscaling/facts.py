"""What of a pod counts for scaling, and samples of a metric."""

from collections.abc import Sequence

import msgspec

from boxship.cluster.controllers.workloads.times import seconds_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.quantity import parse

CPU = "cpu"


class Unknown(Exception):
    """A metric that cannot be had; the text says why."""


class Sample(msgspec.Struct, frozen=True):
    """Of one pod, or of one object: thousandths, and over which time (seconds) until when."""

    value: int
    time: float = 0.0
    window: float = 60.0


class Pod(msgspec.Struct, frozen=True):
    """`ready`: None where it says nothing about it. Times are seconds, 0.0: never."""

    name: str
    phase: str = "Running"
    deleted: bool = False
    ready: bool | None = True
    ready_since: float = 0.0
    started: float = 0.0
    containers: tuple[tuple[str, Object], ...] = ()  # name and requests
    whole: Object | None = None  # requests of the pod as a whole


def facts_of(pod: Object) -> Pod:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    ready: Object | None = next((one for one in status.get("conditions") or () if one.get("type") == "Ready"), None)
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    return Pod(
        name=pod["metadata"]["name"],
        phase=status.get("phase") or "Pending",
        deleted=bool(pod["metadata"].get("deletionTimestamp")),
        ready=None if ready is None else ready.get("status") == "True",
        ready_since=seconds_of(ready.get("lastTransitionTime")) if ready else 0.0,
        started=seconds_of(status.get("startTime")),
        containers=tuple(
            (one["name"], (one.get("resources") or {}).get("requests") or {})
            for one in [*(spec.get("containers") or ()), *sidecars]
        ),
        whole=(spec.get("resources") or {}).get("requests") or None,
    )


def requests_of(pods: Sequence[Pod], resource: str, container: str) -> dict[str, int]:
    """What each pod asks for of a resource, thousandths. Raises Unknown where one does not say."""
    return {pod.name: _request_of(pod, resource, container) for pod in pods}


def _request_of(pod: Pod, resource: str, container: str) -> int:
    if not container and pod.whole and resource in pod.whole:
        return parse(pod.whole[resource]).milli
    total = 0
    for name, requests in pod.containers:
        if container and name != container:
            continue
        if resource not in requests:
            raise Unknown(f"missing request for {resource} in container {name} of Pod {pod.name}")
        total += parse(requests[resource]).milli
    return total
