"""Why a pod is not ready, or nowhere: what is wrong by its own state, each node's verdict, and what would help. Of
anything else (a Deployment, a claim): what it needs of others and has not got, what its conditions and events say, and
why its pods are not ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from boxship.cli.call import Call, Failure
from boxship.cli.kube.diagnosing import Finding, diagnose, is_ready, is_unplaced
from boxship.cli.kube.happening import terms_of
from boxship.cli.kube.naming import named
from boxship.cli.kube.needing import needs
from boxship.cli.kube.printing import aligned
from boxship.cli.kube.server import Refused, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
else:
    Object = dict

SHOWN_PODS = 3  # of something that has many
SHOWN_NODES = 20
GOOD_WHEN_FALSE = {"ReplicaFailure", "Stalled", "Failed", "MemoryPressure", "DiskPressure", "PIDPressure"}
GOOD_WHEN_FALSE |= {"NetworkUnavailable", "ScalingLimited", "DisruptionTarget"}
UNSETTLED = ("Pending", "Lost", "Failed", "Terminating")
WARNINGS = 5


def show_why(call: Call) -> int:
    """Print it. 0 where nothing is wrong, else 1."""
    server = Server(call)
    (wanted,) = named(server, call.arguments)
    if not wanted.name:
        raise Failure("name one object, such as pod/NAME")
    made = server.ask("GET", wanted.kind.path(server.namespace, wanted.name))
    if made.get("kind") == "Pod":
        return show_pod(call, server, made)
    return _show_other(call, server, made)


def show_pod(call: Call, server: Server, pod: Object) -> int:
    metadata, status = pod["metadata"], pod.get("status") or {}
    where = pod["spec"].get("nodeName")
    state = "ready" if is_ready(pod) else "not ready"
    call.line(
        f"pod {metadata['namespace']}/{metadata['name']} is {status.get('phase') or 'Pending'}, {state}, "
        f"{'on node ' + where if where else 'on no node'}."
    )
    events = _events(server, pod)
    findings = diagnose(pod, events, _node(server, where), _claims(server, pod), _budgets(server, pod))
    _print(call, findings)
    if is_unplaced(pod) and not pod["spec"].get("schedulingGates"):
        _show_scheduling(call, server, pod, events)
        return 1
    if not findings:
        call.line("Nothing is wrong with it." if is_ready(pod) else "It is on its way: nothing is wrong so far.")
    return 0 if is_ready(pod) or status.get("phase") == "Succeeded" else 1


def _print(call: Call, findings: Sequence[Finding]) -> None:
    for finding in findings:
        call.line(f"  {finding.about}: {finding.text}")
        if finding.next:
            call.line(f"    → {finding.next}")


def _show_scheduling(call: Call, server: Server, pod: Object, events: Sequence[Object]) -> None:
    metadata = pod["metadata"]
    told = [one for one in events if one.get("reason") == "FailedScheduling"]
    try:
        query = {"namespace": metadata["namespace"], "name": metadata["name"]}
        found = server.ask("GET", "/boxship/why", query).get("scheduling")
    except Refused as refused:
        call.warn(f"the scheduler cannot be asked: {refused}")
        found = None
    if found is None:
        text = str(told[-1]["message"]) if told else "no scheduler has looked at it yet"
        call.line(f"  scheduling: {text}")
        return
    if found["node"]:
        call.line(f"  scheduling: node {found['node']} can take it now.")
        return
    call.line(f"  scheduling: {found['message']}")
    rows = [["NODE", "RULE", "WHY NOT"]]
    for answer in found["nodes"][:SHOWN_NODES]:
        for verdict in answer["broken"] or [{"rule": "", "reasons": ["it can take the pod"]}]:
            rows.append([answer["node"], verdict["rule"], ", ".join(verdict["reasons"])])
    if len(rows) > 1:
        call.write(aligned([["", *row] for row in rows]))
    if len(found["nodes"]) > SHOWN_NODES:
        call.line(f"  and {len(found['nodes']) - SHOWN_NODES} more nodes")
    if found["victims"]:
        call.line(f"  It waits on node {found['nominated']} for others to go: {', '.join(found['victims'])}.")
    for number, change in enumerate(found["changes"]):
        tried = "" if change["tried"] else " (not tried out)"
        call.line(f"    {'→' if not number else ' or'} {change['text']}{tried}")


def _show_other(call: Call, server: Server, made: Object) -> int:
    metadata = made["metadata"]
    call.line(f"{made['kind']} {'/'.join(filter(None, (metadata.get('namespace'), metadata['name'])))}")
    lacking = needs(made, Stored(server))
    wrong = [*lacking, *_conditions(made)]
    events = _events(server, made)
    phase = (made.get("status") or {}).get("phase")
    if phase in UNSETTLED and not lacking:
        said = f": {str(events[-1].get('message', '')).strip()}" if events else ""
        wrong.append(Finding("phase", f"It is {phase}{said}"))
    for event in _distinct([one for one in events if one.get("type") == "Warning"])[-WARNINGS:]:
        wrong.append(Finding(f"event {event.get('reason', '')}", str(event.get("message", "")).strip()))
    _print(call, wrong)
    pods = [pod for pod in _pods(server, made) if not is_ready(pod)]
    pods = [pod for pod in pods if (pod.get("status") or {}).get("phase") != "Succeeded"]
    for pod in pods[:SHOWN_PODS]:
        show_pod(call, server, pod)
    if len(pods) > SHOWN_PODS:
        call.line(f"and {len(pods) - SHOWN_PODS} more of its pods are not ready")
    if not wrong and not pods:
        call.line("Nothing is wrong with it.")
    return 1 if wrong or pods else 0


class Stored:
    """Implements Around over the API."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def one(self, resource: str, name: str) -> Object | None:
        try:
            return self._server.ask("GET", self._server.kind(resource).path(self._server.namespace, name))
        except Refused as refused:
            return None if refused.code == 404 else {}

    def all(self, resource: str, labels: Mapping[str, str] | None = None) -> list[Object] | None:
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())} if labels else {}
        try:
            path = self._server.kind(resource).path(self._server.namespace)
            found: list[Object] = self._server.ask("GET", path, query).get("items") or []
        except Refused:
            return None
        return found


def _conditions(made: Object) -> list[Finding]:
    found = []
    for one in (made.get("status") or {}).get("conditions") or []:
        good = "False" if one.get("type") in GOOD_WHEN_FALSE else "True"
        if one.get("status") not in (good, None) and one.get("type") not in (
            "Complete",
            "Suspended",
            "SuccessCriteriaMet",
        ):
            said = ": ".join(part for part in (one.get("reason"), one.get("message")) if part)
            found.append(
                Finding(f"condition {one.get('type')}", f"It is {one.get('status')}{': ' + said if said else ''}")
            )
    return found


def _distinct(events: Sequence[Object]) -> list[Object]:
    """The newest of those that say the same."""
    return list({(one.get("reason"), one.get("message")): one for one in events}.values())


def _pods(server: Server, made: Object) -> list[Object]:
    selector = (made.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels") if "matchLabels" in selector else selector
    plain = isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())
    if not labels or not plain or made["kind"] in ("PersistentVolumeClaim", "HorizontalPodAutoscaler"):
        return []
    query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}
    found: list[Object] = server.ask("GET", server.kind("pods").path(server.namespace), query).get("items") or []
    return [{"apiVersion": "v1", "kind": "Pod", **pod} for pod in found]


def _events(server: Server, made: Object) -> list[Object]:
    """Oldest first; none where we may not read them."""
    metadata = made["metadata"]
    terms = terms_of(made)
    path = server.kind("events").path(str(metadata.get("namespace") or "default"))
    try:
        found: list[Object] = server.ask("GET", path, {"fieldSelector": terms}).get("items") or []
    except Refused:
        return []
    return sorted(found, key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""))


def _node(server: Server, name: str | None) -> Object | None:
    """None: it is not there. One that we may not read counts as well."""
    if not name:
        return None
    try:
        return server.ask("GET", server.kind("nodes").path("", name))
    except Refused as refused:
        if refused.code == 404:
            return None
        return {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}


def _claims(server: Server, pod: Object) -> list[Object]:
    found = []
    for volume in pod["spec"].get("volumes") or []:
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if volume.get("ephemeral") is not None:
            name = f"{pod['metadata']['name']}-{volume['name']}"
        if name:
            try:
                path = server.kind("persistentvolumeclaims").path(pod["metadata"]["namespace"], name)
                found.append(server.ask("GET", path))
            except Refused as refused:
                if refused.code == 404:
                    found.append({"metadata": {"name": name}, "missing": True})
    return found


def _budgets(server: Server, pod: Object) -> list[Object]:
    """Budgets that count this pod, where it is to go and does not."""
    labels = pod["metadata"].get("labels") or {}
    try:
        path = server.kind("poddisruptionbudgets").path(pod["metadata"]["namespace"])
        items: list[Object] = server.ask("GET", path).get("items") or []
    except Refused:
        return []
    found = []
    for budget in items:
        wanted = ((budget.get("spec") or {}).get("selector") or {}).get("matchLabels")
        if wanted and all(labels.get(key) == value for key, value in wanted.items()):
            found.append(budget)
    return found
