"""The workload controllers of a running control plane, through the stock kubectl; a thread plays the kubelets."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from control_kit import Control, running_control
from workloads_kit import Kubelets

from daemons import until

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: NAME}
spec:
  completions: 3
  parallelism: 3
  completionMode: MODE
  backoffLimit: 1
  template:
    metadata: {labels: {play: PLAY}}
    spec:
      restartPolicy: Never
      containers: [{name: c, image: "busybox:1"}]
"""
STATEFUL = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete, whenDeleted: Retain}
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: c, image: "busybox:1"}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
DAEMONS = """
apiVersion: v1
kind: Node
metadata: {name: n1}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
spec: {taints: [{key: own, effect: NoSchedule}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: log}
spec:
  selector: {matchLabels: {app: log}}
  template:
    metadata: {labels: {app: log}}
    spec:
      tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists}]
      containers: [{name: c, image: "busybox:1"}]
"""


@pytest.fixture(scope="module")
def k(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("workloads")) as control, Kubelets(control) as kubelets:
        yield control
        assert not kubelets.failures


def get(k: Control, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(k.kubectl("get", *arguments, "-o", "json").stdout)
    return found


def rolled_out(k: Control, what: str) -> None:
    k.kubectl("rollout", "status", what, "--timeout=15s")


def settled(k: Control, what: str, **counts: int) -> None:
    def is_so() -> bool:
        status = get(k, what)["status"]
        return all(status.get(key, 0) == count for key, count in counts.items())

    until(is_so, 10, lambda: f"{counts}: {get(k, what)['status']}")


def test_a_deployment_is_rolled_out_scaled_and_rolled_back(k: Control) -> None:
    k.kubectl("create", "deployment", "web", "--image=web:1", "--replicas=3")
    rolled_out(k, "deployment/web")
    k.kubectl("set", "image", "deployment/web", "web=web:2")
    rolled_out(k, "deployment/web")
    k.kubectl("scale", "deployment/web", "--replicas=4")
    k.kubectl("rollout", "undo", "deployment/web")
    rolled_out(k, "deployment/web")
    settled(k, "deployment/web", replicas=4, updatedReplicas=4, availableReplicas=4)
    web = get(k, "deployment/web")
    assert web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    reasons = {one["type"]: (one["status"], one["reason"]) for one in web["status"]["conditions"]}
    assert reasons == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    sizes = {one["spec"]["template"]["spec"]["containers"][0]["image"]: one for one in get(k, "rs")["items"]}
    assert [sizes[image]["spec"]["replicas"] for image in ("web:1", "web:2")] == [4, 0]
    history = sizes["web:1"]["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"]
    assert history == "1"
    k.kubectl("rollout", "pause", "deployment/web")
    k.kubectl("set", "image", "deployment/web", "web=web:3")
    until(lambda: "DeploymentPaused" in json.dumps(get(k, "deployment/web")["status"]), 10, "it is told as paused")
    assert len(get(k, "rs")["items"]) == 2
    k.kubectl("rollout", "resume", "deployment/web")
    rolled_out(k, "deployment/web")
    k.kubectl("rollout", "restart", "deployment/web")
    rolled_out(k, "deployment/web")
    said = {event["reason"] for event in get(k, "events")["items"]}
    assert {"ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete"} <= said
    k.kubectl("delete", "deployment", "web")
    until(lambda: not get(k, "pods", "-l", "app=web")["items"], 10, "its pods go with it")


def test_pods_are_adopted_and_let_go(k: Control) -> None:
    k.kubectl("run", "stray", "--image=web:1", "--labels=app=stray")
    selector = {"matchLabels": {"app": "stray"}}
    template = {"metadata": {"labels": {"app": "stray"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}
    sets = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "stray"}}
    k.kubectl("apply", "-f", "-", data=json.dumps({**sets, "spec": {"selector": selector, "template": template}}))
    settled(k, "rs/stray", replicas=1, readyReplicas=1, availableReplicas=1, fullyLabeledReplicas=1)
    assert get(k, "pod/stray")["metadata"]["ownerReferences"][0]["name"] == "stray"
    k.kubectl("label", "pod/stray", "app=free", "--overwrite")
    until(lambda: "ownerReferences" not in get(k, "pod/stray")["metadata"], 10, "it is let go")
    until(lambda: len(get(k, "pods", "-l", "app=stray")["items"]) == 1, 10, "another takes its place")
    k.kubectl("delete", "rs/stray", "pod/stray")


def test_jobs_end_as_they_should(k: Control) -> None:
    for name, mode, play in (("plain", "NonIndexed", "succeed"), ("numbers", "Indexed", "succeed")):
        k.kubectl("apply", "-f", "-", data=JOB.replace("NAME", name).replace("MODE", mode).replace("PLAY", play))
    k.kubectl("apply", "-f", "-", data=JOB.replace("NAME", "bad").replace("MODE", "NonIndexed").replace("PLAY", "fail"))
    k.kubectl("wait", "--for=condition=complete", "job/plain", "job/numbers", "--timeout=15s")
    k.kubectl("wait", "--for=condition=failed", "job/bad", "--timeout=15s")
    assert get(k, "job/plain")["status"]["succeeded"] == 3
    numbers = get(k, "job/numbers")["status"]
    assert (numbers["succeeded"], numbers["completedIndexes"]) == (3, "0-2")
    bad = get(k, "job/bad")["status"]
    assert bad["conditions"][-1]["reason"] == "BackoffLimitExceeded" and bad["failed"] == 3
    pods = get(k, "pods", "-l", "job-name")["items"]
    assert not [pod["metadata"]["name"] for pod in pods if pod["metadata"].get("finalizers")]
    hosts = {pod["spec"].get("hostname") for pod in pods}
    assert {"numbers-0", "numbers-1", "numbers-2"} <= hosts
    k.kubectl("patch", "job/plain", "-p", '{"spec": {"ttlSecondsAfterFinished": 0}}')
    k.kubectl("wait", "--for=delete", "job/plain", "--timeout=15s")
    k.kubectl("delete", "jobs", "--all")


def test_a_job_waits_while_it_is_suspended(k: Control) -> None:
    text = JOB.replace("NAME", "later").replace("MODE", "NonIndexed").replace("PLAY", "ready")
    k.kubectl("apply", "-f", "-", data=text)
    settled(k, "job/later", active=3, ready=3)
    k.kubectl("patch", "job/later", "-p", '{"spec": {"suspend": true}}')
    settled(k, "job/later", active=0, failed=0)
    until(lambda: "JobSuspended" in json.dumps(get(k, "job/later")["status"]), 10, "it says so")
    k.kubectl("patch", "job/later", "-p", '{"spec": {"suspend": false}}')
    settled(k, "job/later", active=3, failed=0)
    k.kubectl("delete", "job/later")
    until(lambda: not get(k, "pods", "-l", "job-name=later")["items"], 10, "its pods go with it")


def test_a_cron_job_makes_jobs(k: Control) -> None:
    k.kubectl("create", "cronjob", "tick", "--image=busybox:1", "--schedule=@every 1s")
    more = {"template": {"metadata": {"labels": {"play": "succeed"}}}}
    k.kubectl("patch", "cronjob/tick", "-p", json.dumps({"spec": {"jobTemplate": {"spec": more}}}))

    def has_run() -> bool:
        return "lastSuccessfulTime" in get(k, "cronjob/tick").get("status", {})

    until(has_run, 15, lambda: k.kubectl("get", "cronjob,job,pod,event").stdout)
    k.kubectl("patch", "cronjob/tick", "-p", '{"spec": {"suspend": true}}')
    job = get(k, "jobs")["items"][0]
    assert job["metadata"]["ownerReferences"][0]["kind"] == "CronJob"
    assert job["metadata"]["name"] == f"tick-{job['metadata']['name'].rpartition('-')[2]}"
    k.kubectl("delete", "cronjob/tick")
    until(lambda: not get(k, "jobs")["items"], 10, "its jobs go with it")


def test_a_stateful_set_keeps_names_and_claims(k: Control) -> None:
    k.kubectl("apply", "-f", "-", data=STATEFUL)
    rolled_out(k, "sts/db")
    pods = {pod["metadata"]["name"]: pod for pod in get(k, "pods", "-l", "app=db")["items"]}
    assert sorted(pods) == ["db-0", "db-1"]
    assert pods["db-1"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == "data-db-1"
    assert pods["db-1"]["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1"
    k.kubectl("set", "image", "sts/db", "c=busybox:2")
    rolled_out(k, "sts/db")
    k.kubectl("rollout", "undo", "sts/db")
    rolled_out(k, "sts/db")
    revisions = get(k, "controllerrevisions")["items"]
    assert sorted(one["revision"] for one in revisions) == [2, 3]
    k.kubectl("scale", "sts/db", "--replicas=1")
    settled(k, "sts/db", replicas=1, readyReplicas=1)

    def is_given_up() -> bool:
        claims = {one["metadata"]["name"]: one["metadata"] for one in get(k, "pvc")["items"]}
        return (
            "data-db-0" in claims
            and claims.get("data-db-1", {"deletionTimestamp": ""}).get("deletionTimestamp", 0) != 0
        )

    until(is_given_up, 10, "the claim of the pod that was scaled away goes")
    k.kubectl("delete", "sts/db")


def test_a_daemon_set_has_a_pod_on_each_node_that_it_may(k: Control) -> None:
    k.kubectl("apply", "-f", "-", data=DAEMONS)
    settled(k, "ds/log", desiredNumberScheduled=1, numberAvailable=1)
    k.kubectl("taint", "node", "n2", "own-")
    settled(k, "ds/log", desiredNumberScheduled=2, numberAvailable=2)
    k.kubectl("set", "image", "ds/log", "c=busybox:2")
    rolled_out(k, "ds/log")
    k.kubectl("rollout", "undo", "ds/log")
    rolled_out(k, "ds/log")
    k.kubectl("taint", "node", "n1", "gone=now:NoExecute")
    settled(k, "ds/log", desiredNumberScheduled=1, numberMisscheduled=0)
    k.kubectl("delete", "ds/log", "node/n1", "node/n2")
