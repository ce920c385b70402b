"""What every workload's API offers alike: status of its own, lists everywhere, watches, deletion of a collection."""

import datetime
from collections.abc import Mapping
from typing import Any

import pytest
from conformance_apps_kit import Object, changed, condition, job, names, watched, workload
from conformance_kit import Space

pytestmark = pytest.mark.slow

BUDGET: Object = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
}


def cron(name: str, **spec: Any) -> Object:
    """A schedule that does not come in the time of a test."""
    inner = {"metadata": {"labels": {"app": name}}, "spec": job(name)["spec"]}
    made: Object = {"schedule": "0 0 29 2 *", "jobTemplate": inner, **spec}
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": made}


KINDS: Mapping[str, tuple[str, Object]] = {
    "Deployment": ("apps/v1/deployments", workload("Deployment", "web", replicas=0)),
    "ReplicaSet": ("apps/v1/replicasets", workload("ReplicaSet", "web", replicas=0)),
    "DaemonSet": ("apps/v1/daemonsets", workload("DaemonSet", "web", pods={"nodeSelector": {"no": "where"}})),
    "StatefulSet": ("apps/v1/statefulsets", workload("StatefulSet", "web", replicas=0, serviceName="web")),
    "PodDisruptionBudget": ("policy/v1/poddisruptionbudgets", BUDGET),
    "ReplicationController": ("replicationcontrollers", workload("ReplicationController", "web", replicas=0)),
}


# Covers: DaemonSet, status sub-resource; Deployment, status sub-resource; ReplicaSet, status sub-resource; StatefulSet,
# status sub-resource; PodDisruptionBudget: update and patch status.
@pytest.mark.parametrize("kind", KINDS)
def test_a_status_is_read_replaced_and_patched(space: Space, kind: str) -> None:
    path, made = KINDS[kind]
    space.made(path, made)
    space.until(lambda: space.read(f"{path}/web").get("status", {}).get("observedGeneration"), "its controller saw it")
    assert space.read(f"{path}/web/status")["kind"] == kind
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "said by a test"}
    said["lastTransitionTime"] = when

    def say(found: Object) -> None:
        found["status"].setdefault("conditions", []).append(said)

    since = space.read(f"{path}/web")["metadata"]["resourceVersion"]
    told = changed(space, f"{path}/web/status", say)
    assert condition(told, "StatusUpdate") == said
    watched(space, path, since, lambda _, found: condition(found, "StatusUpdate"))
    patch = {"conditions": [{**said, "type": "StatusPatched"}]}
    told = space.patched(f"{path}/web/status", {"status": patch})
    assert condition(told, "StatusPatched")["reason"] == "E2E" and not condition(told, "StatusUpdate")
    watched(space, path, since, lambda _, found: condition(found, "StatusPatched"))
    assert told["spec"] == space.read(f"{path}/web")["spec"]


# Covers: Jobs, apply changes to status.
def test_a_job_status_is_patched_and_replaced(space: Space) -> None:
    path = "batch/v1/jobs/web"
    space.made("batch/v1/jobs", job("web", parallelism=2, completions=4))
    space.until(lambda: space.read(path).get("status", {}).get("active") == 2, "its pods are there")
    start = "2026-01-02T03:04:05Z"
    change = {"metadata": {"annotations": {"has": "patch"}}, "status": {"startTime": start}}
    refused = space.request("PATCH", f"{path}/status", change, {"Content-Type": "application/merge-patch+json"})
    assert refused.status == 422 and b"startTime" in refused.body  # of one that runs
    del change["status"]
    told = space.patched(f"{path}/status", change)
    assert told["metadata"]["annotations"]["has"] == "patch"

    def say(found: Object) -> None:
        found["status"]["conditions"] = [{"type": "Own", "status": "True", "reason": "E2E"}]

    since = told["metadata"]["resourceVersion"]
    told = changed(space, f"{path}/status", say)
    assert condition(told, "Own")["reason"] == "E2E" and told["status"]["active"] == 2
    watched(space, "batch/v1/jobs", since, lambda _, found: condition(found, "Own"))
    assert condition(space.read(f"{path}/status"), "Own")


# Covers: CronJob API Operations; PodDisruptionBudget: list and delete collection; PodDisruptionBudget: create, update,
# patch, and delete object.
@pytest.mark.parametrize(("path", "made"), [("batch/v1/cronjobs", cron("web")), KINDS["PodDisruptionBudget"]])
def test_all_verbs_of_an_api(space: Space, path: str, made: Object) -> None:
    group, _, plural = path.rpartition("/")
    root = space.cluster.control.request("GET", "/apis").object["groups"]
    assert group in [each["groupVersion"] for one in root for each in one["versions"]]
    served = {one["name"]: one for one in space.cluster.control.request("GET", f"/apis/{group}").object["resources"]}
    verbs = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    assert set(served[plural]["verbs"]) == verbs and f"{plural}/status" in served
    made = {**made, "metadata": {**made["metadata"], "labels": {"group": space.name}}}
    version = space.made(path, made)["metadata"]["resourceVersion"]
    selected = f"{path}?labelSelector=group%3D{space.name}"
    assert names(space.read(selected)["items"]) == ["web"]
    everywhere = space.cluster.control.request("GET", f"/apis/{selected}").object
    assert names(everywhere["items"]) == ["web"] and everywhere["kind"] == f"{made['kind']}List"
    patched = space.patched(f"{path}/web", {"metadata": {"annotations": {"patched": "true"}}})
    assert patched["metadata"]["annotations"] == {"patched": "true"}

    def annotate(found: Object) -> None:
        found["metadata"]["annotations"]["updated"] = "true"

    changed(space, f"{path}/web", annotate)
    watched(space, path, version, lambda _, found: found["metadata"].get("annotations", {}).get("updated"))
    second = {**made, "metadata": {**made["metadata"], "name": "second"}}
    other = {**made, "metadata": {"name": "other"}}
    for one in (second, other):
        space.made(path, one)
    assert space.request("DELETE", f"{path}/second").status == 200
    space.until(lambda: space.is_gone(f"{path}/second"), "it is deleted")
    assert names(space.read(selected)["items"]) == ["web"]
    assert space.request("DELETE", selected).status == 200
    space.until(lambda: names(space.read(path)["items"]) == ["other"], "those alone are deleted")
    watched(space, path, version, lambda event, found: event == "DELETED" and found["metadata"]["name"] == "web")


# Covers: CronJob API Operations.
def test_the_status_of_a_cron_job(space: Space) -> None:
    path = "batch/v1/cronjobs/web"
    space.made("batch/v1/cronjobs", cron("web"))
    before, after = "2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"
    change = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"lastScheduleTime": before}}
    told = space.patched(f"{path}/status", change)
    assert told["status"]["lastScheduleTime"] == before and told["metadata"]["annotations"]["patchedstatus"] == "true"

    def say(found: Object) -> None:
        found["status"]["lastScheduleTime"] = after

    assert changed(space, f"{path}/status", say)["status"]["lastScheduleTime"] == after
    assert space.read(f"{path}/status")["status"]["lastScheduleTime"] == after


# Covers: DaemonSet, list and delete a collection of DaemonSets; StatefulSet, list, patch and delete a collection of
# StatefulSets; Jobs, manage lifecycle.
@pytest.mark.parametrize("kind", ["DaemonSet", "StatefulSet", "Deployment", "Job"])
def test_workloads_are_listed_patched_and_deleted_together(space: Space, kind: str) -> None:
    suspended = ("batch/v1/jobs", job("web", suspend=True))
    path, made = suspended if kind == "Job" else KINDS[kind]
    labels = {"app": "web", "group": space.name}
    space.made(path, {**made, "metadata": {"name": "web", "labels": labels}})
    space.made(path, {**made, "metadata": {"name": "other"}})
    selected = f"{path}?labelSelector=group%3D{space.name}"
    everywhere = space.cluster.control.request("GET", f"/apis/{selected}").object
    assert names(everywhere["items"]) == ["web"]
    change: Object = {"metadata": {"labels": {"has": "patch"}}}
    if kind == "StatefulSet":
        change["spec"] = {"replicas": 1, "template": {"spec": {"terminationGracePeriodSeconds": 1}}}
    patched = space.patched(f"{path}/web", change, "application/strategic-merge-patch+json")
    assert patched["metadata"]["labels"] == {**labels, "has": "patch"}

    def annotate(found: Object) -> None:
        found["metadata"]["annotations"] = {**found["metadata"].get("annotations", {}), "has": "update"}

    assert changed(space, f"{path}/web", annotate)["metadata"]["annotations"]["has"] == "update"
    since = space.read(path)["metadata"]["resourceVersion"]
    assert space.request("DELETE", f"{path}?labelSelector=has%3Dpatch").status == 200
    watched(space, path, since, lambda event, found: event == "DELETED" and found["metadata"]["name"] == "web")
    assert names(space.read(path)["items"]) == ["other"]
