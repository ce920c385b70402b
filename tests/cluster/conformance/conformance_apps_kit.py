"""What the cases of workloads need: their objects in a few words, and what a watch tells."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from conformance_kit import Space

Object = dict[str, Any]

IDLE = "trap exit TERM; while :; do sleep 1000 & wait; done"
VERSIONS = {"ReplicationController": "v1", "Job": "batch/v1", "CronJob": "batch/v1"}
GATE = {"exec": {"command": ["test", "-e", "/ready"]}, "periodSeconds": 1}  # ready while this file is there


def template(name: str, script: str = IDLE, **spec: Any) -> Object:
    """A pod of busybox with the label app=NAME."""
    container = {"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    container |= spec.pop("container", {})
    made = {"terminationGracePeriodSeconds": 0, "containers": [container], **spec}
    return {"metadata": {"labels": {"app": name}}, "spec": made}


def pod(name: str, app: str, script: str = IDLE, **spec: Any) -> Object:
    made = template(app, script, **spec)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **made["metadata"]}, "spec": made["spec"]}


def workload(kind: str, name: str, script: str = IDLE, *, pods: Object | None = None, **spec: Any) -> Object:
    """A workload whose pods have the label app=NAME. `pods`: more for the template's spec."""
    labels = {"app": name}
    made: Object = {"template": template(name, script, **(pods or {})), **spec}
    if kind == "ReplicationController":
        made = {"selector": labels, **made}
    elif kind != "Job":
        made = {"selector": {"matchLabels": labels}, **made}
    metadata = {"name": name, "labels": dict(labels)}
    return {"apiVersion": VERSIONS.get(kind, "apps/v1"), "kind": kind, "metadata": metadata, "spec": made}


def job(name: str, script: str = IDLE, *, restart: str = "Never", pods: Object | None = None, **spec: Any) -> Object:
    return workload("Job", name, script, pods={"restartPolicy": restart, **(pods or {})}, **spec)


def has(space: Space, path: str, **counts: Any) -> bool:
    """Whether the status says so; 0 means also that it says nothing."""
    status = space.read(path).get("status") or {}
    return all(status.get(key, 0) == count for key, count in counts.items())


def settles(space: Space, path: str, seconds: float = 60.0, **counts: Any) -> Object:
    """The object when its status says so."""
    space.until(lambda: has(space, path, **counts), f"{path}: {counts}", seconds)
    return space.read(path)


def condition(object: Object, kind: str) -> Object:
    """The whole condition; {}: it is not there."""
    conditions = (object.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), {})


def pods_of(space: Space, app: str) -> list[Object]:
    return list(space.read(f"pods?labelSelector=app%3D{app}")["items"])


def owner(object: Object) -> str:
    """The uid of its controller, or ""."""
    owners = object["metadata"].get("ownerReferences") or ()
    return next((str(one["uid"]) for one in owners if one.get("controller")), "")


def changed(space: Space, path: str, change: Callable[[Object], None]) -> Object:
    """Read, change, replace: again where another was first. `path` may end with /status."""
    while True:
        found = space.read(path)
        change(found)
        answer = space.request("PUT", path, found)
        if answer.status != 409:
            assert answer.status == 200, answer.body
            return dict(answer.object)


def watched(space: Space, path: str, version: str, holds: Callable[[str, Object], object]) -> Object:
    """The first object that a watch from this version on tells of, for which holds(EVENT, OBJECT)."""
    group = "/api/v1" if path.count("/") == 0 else f"/apis/{path.rpartition('/')[0]}"
    query = f"watch=1&resourceVersion={version}&timeoutSeconds=60"
    whole = f"{group}/namespaces/{space.name}/{path.rpartition('/')[2]}?{query}"
    control = space.cluster.control

    def read() -> Object:
        connection = control.connection()
        connection.timeout = 70
        try:
            connection.request("GET", whole)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            while line := answer.readline():
                event = json.loads(line)
                if holds(event["type"], event["object"]):
                    return dict(event["object"])
        finally:
            connection.close()
        raise AssertionError(f"the watch of {path} ended without it")

    return control.namespace.run(read)


def names(objects: Sequence[Object]) -> list[str]:
    return sorted(str(one["metadata"]["name"]) for one in objects)
