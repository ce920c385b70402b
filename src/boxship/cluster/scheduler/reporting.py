"""What the scheduler tells people: events, and the condition PodScheduled. Best effort: the truth is in bindings."""

from collections.abc import Callable
from datetime import UTC, datetime

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.scheduler.shapes import Pod

EVENTS, PODS = "events.k8s.io/v1/events", "v1/pods"
NOTE_LIMIT = 1024  # characters
AGAIN = 3  # times that a change is tried where somebody else wrote meanwhile
Change = Callable[[Object], Object | None]  # a pod → a merge patch of its status; None: it is as it should be


class Reports:
    """`instance` names this scheduler among several."""

    def __init__(self, client: Client, instance: str, now: Callable[[], datetime]) -> None:
        self._client = client
        self._instance = instance
        self._now = now
        self._count = 0

    async def event(self, pod: Pod, kind: str, reason: str, action: str, note: str, by: str) -> None:
        """`kind` is Normal or Warning; `by` the name that the pod's scheduler goes by."""
        self._count += 1
        moment = self._now().astimezone(UTC)
        namespace, name = pod.key
        stamp = int(moment.timestamp() * 1_000_000) * 1000 + self._count % 1000
        await self._client.create(
            EVENTS,
            namespace,
            {
                "apiVersion": "events.k8s.io/v1",
                "kind": "Event",
                "metadata": {"name": f"{name[:230]}.{stamp:x}", "namespace": namespace},
                "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "reportingController": by,
                "reportingInstance": f"{by}-{self._instance}"[:128],
                "action": action,
                "reason": reason,
                "type": kind,
                "note": note if len(note) <= NOTE_LIMIT else f"{note[: NOTE_LIMIT - 1]}…",
                "regarding": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "namespace": namespace,
                    "name": name,
                    "uid": pod.uid,
                    "resourceVersion": pod.version,
                },
            },
        )

    async def unscheduled(self, pod: Pod, reason: str, message: str, nominated: str | None = None) -> None:
        """The condition PodScheduled is False; `nominated`: the node that is kept free, "" for none any more."""

        def change(found: Object) -> Object | None:
            if (found.get("spec") or {}).get("nodeName"):
                return None
            status: Object = {}
            condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
            conditions = with_condition(found, condition, self._stamp())
            if conditions is not None:
                status["conditions"] = conditions
            if nominated is not None and nominated != ((found.get("status") or {}).get("nominatedNodeName") or ""):
                status["nominatedNodeName"] = nominated or None
            return status or None

        await self._change(pod, change)

    async def not_nominated(self, pod: Pod) -> None:
        """No node is kept free for it any more."""

        def change(found: Object) -> Object | None:
            return {"nominatedNodeName": None} if (found.get("status") or {}).get("nominatedNodeName") else None

        await self._change(pod, change)

    async def disrupted(self, pod: Pod, by: str) -> None:
        """The pod has to go for one of higher priority."""
        message = f"{by}: preempting to accommodate a higher priority pod"
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": message,
        }

        def change(found: Object) -> Object | None:
            conditions = with_condition(found, condition, self._stamp())
            return None if conditions is None else {"conditions": conditions}

        await self._change(pod, change)

    async def _change(self, pod: Pod, change: Change) -> None:
        """Nothing where the pod is gone. Raises Failure."""
        for tried in range(AGAIN):
            try:
                found = await self._client.get(PODS, *pod.key)
                if found["metadata"].get("uid") != pod.uid:
                    return
                status = change(found)
                if status is None:
                    return
                patch = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "status": status}
                await self._client.patch(PODS, *pod.key, patch, subresource="status")
            except Failure as failure:
                if failure.reason == "NotFound":
                    return
                if failure.reason != "Conflict" or tried == AGAIN - 1:
                    raise
            else:
                return

    def _stamp(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def with_condition(pod: Object, condition: Object, stamp: str) -> list[Object] | None:
    """The pod's conditions with this one in its place; None: it is there."""
    conditions = list((pod.get("status") or {}).get("conditions") or ())
    for number, known in enumerate(conditions):
        if known.get("type") == condition["type"]:
            if condition.items() <= known.items():
                return None
            same = known.get("status") == condition["status"]
            since = known.get("lastTransitionTime") if same else stamp
            conditions[number] = {**condition, "lastProbeTime": None, "lastTransitionTime": since or stamp}
            return conditions
    return [*conditions, {**condition, "lastProbeTime": None, "lastTransitionTime": stamp}]
