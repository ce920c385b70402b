"""What workload controllers know of a pod: few facts, so that 50,000 pods fit into memory, and the questions that all
of them ask. Which pods go first when there are too many stands here, too.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.controllers.workloads.times import seconds_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.tolerations import Toleration, toleration_of

RESOURCE = "v1/pods"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
OURS = ("batch.kubernetes.io/", DELETION_COST)  # annotations that are kept
PHASES = {"Pending": 0, "": 0, "Unknown": 1, "Running": 2}


class Owner(msgspec.Struct, frozen=True, gc=False):
    """The owner that is the controller."""

    kind: str
    name: str
    uid: str


class Exit(msgspec.Struct, frozen=True, gc=False):
    container: str
    code: int


class Condition(msgspec.Struct, frozen=True, gc=False):
    type: str
    status: str


class TimedToleration(Toleration, frozen=True, gc=False):
    """Of taints that drive pods out. `seconds`: None for ever."""

    seconds: int | None


class Pod(msgspec.Struct, frozen=True, gc=False):
    """Facts of one pod. Times are seconds, 0.0: never."""

    namespace: str
    name: str
    uid: str
    version: str = ""
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    owners: tuple[Object, ...] = ()
    controller: Owner | None = None
    finalizers: tuple[str, ...] = ()
    created: float = 0.0
    deleted: float = 0.0
    phase: str = "Pending"
    ready: bool = False
    ready_since: float = 0.0
    node: str = ""  # where it is bound
    target: str = ""  # where a daemon's pod is meant to be
    restarts: int = 0  # of the container with the most
    all_restarts: int = 0
    exits: tuple[Exit, ...] = ()  # containers that failed
    conditions: tuple[Condition, ...] = ()
    finished: float = 0.0
    hostname: str = ""
    subdomain: str = ""
    claims: Mapping[str, str] = {}  # volume → claim
    tolerations: tuple[TimedToleration, ...] = ()
    generic: tuple[str, ...] = ()  # generic ephemeral volumes

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def is_done(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    @property
    def is_active(self) -> bool:
        return not self.deleted and not self.is_done

    @property
    def is_ending(self) -> bool:
        """It was deleted and still runs."""
        return bool(self.deleted) and not self.is_done

    @property
    def cost(self) -> int:
        text = self.annotations.get(DELETION_COST, "")
        try:
            return int(text)
        except ValueError:
            return 0

    def is_available(self, least: float, now: float) -> bool:
        """Ready for at least so many seconds."""
        return self.ready and (not least or (self.ready_since > 0 and self.ready_since + least <= now))


def facts_of(pod: Object) -> Pod:
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    owners = tuple(metadata.get("ownerReferences") or ())
    conditions = status.get("conditions") or ()
    ready: Object = next((one for one in conditions if one.get("type") == "Ready"), {})
    containers = status.get("containerStatuses") or ()
    everything = [*(status.get("initContainerStatuses") or ()), *containers]
    restarts = [one.get("restartCount") or 0 for one in everything]
    node = spec.get("nodeName") or ""
    return Pod(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        version=metadata.get("resourceVersion", ""),
        labels=metadata.get("labels") or {},
        annotations=_ours(metadata.get("annotations") or {}),
        owners=owners,
        controller=controller_of(owners),
        finalizers=tuple(metadata.get("finalizers") or ()),
        created=seconds_of(metadata.get("creationTimestamp")),
        deleted=seconds_of(metadata.get("deletionTimestamp")),
        phase=status.get("phase") or "Pending",
        ready=ready.get("status") == "True",
        ready_since=seconds_of(ready.get("lastTransitionTime")),
        node=node,
        target=node or _affine(spec),
        restarts=max(restarts, default=0),
        all_restarts=sum(restarts),
        exits=tuple(_exits(everything)),
        conditions=tuple(Condition(one.get("type", ""), one.get("status", "")) for one in conditions),
        finished=_finished(containers, ready),
        hostname=spec.get("hostname") or "",
        subdomain=spec.get("subdomain") or "",
        claims={
            volume["name"]: volume["persistentVolumeClaim"]["claimName"]
            for volume in spec.get("volumes") or ()
            if volume.get("persistentVolumeClaim")
        },
        tolerations=_tolerations(spec.get("tolerations") or ()),
        generic=tuple(volume["name"] for volume in spec.get("volumes") or () if volume.get("ephemeral")),
    )


def controller_of(owners: Sequence[Object]) -> Owner | None:
    for one in owners:
        if one.get("controller"):
            return Owner(one.get("kind", ""), one.get("name", ""), one.get("uid", ""))
    return None


def _ours(annotations: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in annotations.items() if key.startswith(OURS)}


def _tolerations(entries: Sequence[Object]) -> tuple[TimedToleration, ...]:
    return _interned(
        tuple(
            TimedToleration(found.key, found.operator, found.value, found.effect, one.get("tolerationSeconds"))
            for one, found in ((one, toleration_of(one)) for one in entries)
            if found.effect in ("NoExecute", "")
        )
    )


@functools.lru_cache(4096)
def _interned(tolerations: tuple[TimedToleration, ...]) -> tuple[TimedToleration, ...]:
    """One and the same for all pods that have these: most have the same two."""
    return tolerations


def _affine(spec: Object) -> str:
    """The node that the affinity names, as daemon sets write it."""
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    for term in (required or {}).get("nodeSelectorTerms") or ():
        for one in term.get("matchFields") or ():
            if one.get("key") == "metadata.name" and one.get("operator") == "In" and len(one.get("values") or ()) == 1:
                return str(one["values"][0])
    return ""


def _exits(containers: Sequence[Object]) -> list[Exit]:
    found = []
    for one in containers:
        code = ((one.get("state") or {}).get("terminated") or {}).get("exitCode")
        if code:
            found.append(Exit(one.get("name", ""), code))
    return found


def _finished(containers: Sequence[Object], ready: Object) -> float:
    """When the last of its containers ended, or else when it stopped being ready."""
    ends = [((one.get("state") or {}).get("terminated") or {}).get("finishedAt") for one in containers]
    last = max((seconds_of(end) for end in ends), default=0.0)
    return last or seconds_of(ready.get("lastTransitionTime"))


def first_to_go(pods: Sequence[Pod], beside: Mapping[str, int], now: float) -> list[Pod]:
    """In the order in which they are given up: unassigned, pending, not ready, cheap, doubled up (`beside`: pods of the
    same workload on each node), ready for a short time, restarted often, young ones first. Times count by their
    magnitude only, so that not always the same pods go."""

    def place(pod: Pod) -> tuple[Any, ...]:
        return (
            bool(pod.node),
            PHASES.get(pod.phase, 2),
            pod.ready,
            pod.cost,
            -beside.get(pod.node, 0) if pod.node else 0,
            _magnitude(pod.ready_since, now) if pod.ready else 0,
            -pod.restarts,
            _magnitude(pod.created, now),
            pod.uid,
        )

    return sorted(pods, key=place)


def _magnitude(since: float, now: float) -> int:
    age = (now - since) * 1e9
    return math.floor(math.log2(age)) if age > 0 else -1
