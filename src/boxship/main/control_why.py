"""Why a pod is where it is, or nowhere: `GET /boxship/why` with `namespace` and `name`, for `boxship why`.

Each node's verdict by all its rules, how the possible ones were rated, and the smallest changes that would help. Who
may ask is decided before; the pod's own state (containers, probes, mounts) everybody reads who may read the pod.
"""

from collections.abc import Mapping

import msgspec

from boxship.cluster.objects.failure import bad_request
from boxship.cluster.scheduler.explaining import Explanation
from boxship.doors.kube.errors import wrong_method
from boxship.doors.kube.site import OwnHandler
from boxship.main.control_scheduler import Scheduling
from boxship.transport.exchange import Reply, Request

PATH = "/boxship/why"
JSON = {"Content-Type": "application/json"}

encode = msgspec.json.Encoder().encode


def why_handlers(scheduling: Scheduling) -> Mapping[str, OwnHandler]:
    """What the door serves, by path."""

    async def tell(request: Request, _: object) -> Reply:
        if request.method != "GET":
            raise wrong_method()
        namespace, name = ((request.query.get(word) or [""])[-1] for word in ("namespace", "name"))
        if not namespace or not name:
            raise bad_request("say which pod: namespace and name")
        found = await scheduling.explain(namespace, name)
        return Reply(200, JSON, encode({"scheduling": None if found is None else document(found)}))

    return {PATH: tell}


def document(found: Explanation) -> dict[str, object]:
    """As JSON tells it."""
    return {
        "message": found.message,
        "node": found.decision.node,
        "nominated": found.preemption.node,
        "victims": [f"{'/'.join(pod.key)}" for pod in found.preemption.victims],
        "nodes": [
            {
                "node": answer.node,
                "broken": [
                    {"rule": verdict.plugin, "reasons": [*verdict.reasons, *filter(None, [verdict.detail])]}
                    for verdict in answer.broken
                ],
                "ratings": [
                    {"rule": rule, "weight": weight, "rating": rating} for rule, weight, rating in answer.ratings
                ],
                "total": answer.total,
            }
            for answer in found.nodes
        ],
        "changes": [{"node": change.node, "text": change.text, "tried": change.is_tried} for change in found.changes],
    }
