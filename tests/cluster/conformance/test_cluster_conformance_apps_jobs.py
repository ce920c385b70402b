"""Jobs as the list asks for them: completions, indexes, adoption, failure policies, deletion."""

import pytest
from conformance_apps_kit import Object, changed, condition, has, job, names, owner, pods_of, settles
from conformance_kit import Space

pytestmark = pytest.mark.slow

JOBS = "batch/v1/jobs"
TRACKED = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"


def ends(space: Space, name: str, kind: str, reason: str = "") -> Object:
    """The job when it has this condition."""

    def ended() -> bool:
        found = condition(space.read(f"{JOBS}/{name}"), kind)
        return found.get("status") == "True" and (not reason or found["reason"] == reason)

    space.until(ended, f"job {name} is {kind} {reason}")
    return space.read(f"{JOBS}/{name}")


# Covers: Jobs, orphan pods, re-adoption.
def test_orphans_are_taken_back_and_others_let_go(space: Space) -> None:
    uid = space.made(JOBS, job("web", parallelism=2, completions=4))["metadata"]["uid"]
    settles(space, f"{JOBS}/web", active=2, ready=2)
    first, second = names(pods_of(space, "web"))

    def orphan(found: Object) -> None:
        del found["metadata"]["ownerReferences"]

    changed(space, f"pods/{first}", orphan)
    space.until(lambda: owner(space.pod(first)) == uid, "it is taken back")
    assert TRACKED in space.pod(first)["metadata"]["finalizers"]

    def relabel(found: Object) -> None:
        found["metadata"]["labels"] = {"app": "free"}

    changed(space, f"pods/{second}", relabel)
    space.until(lambda: not owner(space.pod(second)), "it is let go")
    space.until(lambda: TRACKED not in space.pod(second)["metadata"].get("finalizers", ()), "and not waited for")
    settles(space, f"{JOBS}/web", active=2, ready=2)
    assert first in names(pods_of(space, "web")) and space.phase(second) == "Running"


# Covers: Ensure pod failure policy allows to ignore failure matching on the DisruptionTarget condition.
def test_a_disruption_does_not_count(space: Space) -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    script = "trap 'exit 1' TERM; [ -e /host/$JOB_COMPLETION_INDEX ] && exit; touch /host/$JOB_COMPLETION_INDEX; "
    script += "touch /ready; while :; do sleep 0.1; done"
    folder = space.cluster.home / f"marks-{space.name}"
    folder.mkdir()
    pods = {
        "volumes": [{"name": "host", "hostPath": {"path": str(folder), "type": "Directory"}}],
        "container": {
            "volumeMounts": [{"name": "host", "mountPath": "/host"}],
            "readinessProbe": {"exec": {"command": ["test", "-e", "/ready"]}, "periodSeconds": 1},
        },
        "terminationGracePeriodSeconds": 5,
    }
    spec: Object = {"completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimit": 0}
    space.made(JOBS, job("web", script, pods=pods, podFailurePolicy={"rules": [rule]}, **spec))
    settles(space, f"{JOBS}/web", ready=2)
    for name in names(pods_of(space, "web")):
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        assert space.request("POST", f"pods/{name}/eviction", eviction).status == 201
    done = ends(space, "web", "Complete")
    assert done["status"]["completedIndexes"] == "0,1" and not done["status"].get("failed")


# Covers: Verify Pod Failure policy allows to fail job early on exit code.
def test_an_exit_code_ends_the_job(space: Space) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [3]}}
    script = "[ $JOB_COMPLETION_INDEX = 1 ] && exit 3; trap exit TERM; sleep 1000 & wait"
    spec: Object = {"completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimit": 6}
    space.made(JOBS, job("web", script, podFailurePolicy={"rules": [rule]}, **spec))
    failed = ends(space, "web", "Failed", "PodFailurePolicy")
    message = condition(failed, "Failed")["message"]
    assert "failed with exit code 3 matching FailJob rule at index 0" in message
    assert condition(failed, "FailureTarget")["reason"] == "PodFailurePolicy"
    assert not failed["status"].get("active")


# Covers: Ensure Pods of an Indexed Job get a unique index.
def test_each_pod_has_an_index(space: Space) -> None:
    spec: Object = {"completions": 4, "parallelism": 2, "completionMode": "Indexed"}
    space.made(JOBS, job("web", "echo $JOB_COMPLETION_INDEX $(hostname)", **spec))
    done = ends(space, "web", "Complete")
    assert (done["status"]["succeeded"], done["status"]["completedIndexes"]) == (4, "0-3")
    found = {pod["metadata"]["annotations"][INDEX]: pod for pod in pods_of(space, "web")}
    assert sorted(found) == ["0", "1", "2", "3"]
    for index, pod in found.items():
        assert pod["metadata"]["labels"][INDEX] == index
        assert pod["spec"]["hostname"] == f"web-{index}"
        assert pod["metadata"]["name"].startswith(f"web-{index}-")
        assert space.log(pod["metadata"]["name"]) == f"{index} web-{index}\n"


# Covers: Jobs, active pods, graceful termination.
def test_a_deleted_job_takes_its_pods_along(space: Space) -> None:
    space.made(JOBS, job("web", parallelism=2, completions=4))
    settles(space, f"{JOBS}/web", active=2, ready=2)
    assert len(pods_of(space, "web")) == 2
    space.kubectl("delete", "job", "web", "--timeout=30s")
    assert space.is_gone(f"{JOBS}/web")
    space.until(lambda: not pods_of(space, "web"), "its pods are gone")


def test_pods_stay_where_nobody_says_otherwise(space: Space) -> None:
    """As since before there were propagation policies; kubectl names one."""
    space.made(JOBS, job("web"))
    settles(space, f"{JOBS}/web", active=1, ready=1)
    answer = space.request("DELETE", f"{JOBS}/web")
    assert answer.status == 200 and "child pods are preserved by default" in answer.headers["Warning"]
    space.until(lambda: space.is_gone(f"{JOBS}/web"), "it is gone")
    space.until(lambda: not any(map(owner, pods_of(space, "web"))), "its pod is nobody's")
    (left,) = pods_of(space, "web")
    assert left["status"]["phase"] == "Running"
    space.kubectl("delete", "pod", left["metadata"]["name"], "--timeout=30s")
    space.made(JOBS, job("web"))
    settles(space, f"{JOBS}/web", active=1)
    assert "Warning" not in space.request("DELETE", f"{JOBS}/web?propagationPolicy=Background").headers
    space.until(lambda: not pods_of(space, "web"), "its pods go with it")


# Covers: Jobs, completion after task failure.
def test_failing_once_in_place_is_no_failure(space: Space) -> None:
    script = "[ -e /data/once ] && exit 0; touch /data/once; exit 1"
    pods = {
        "volumes": [{"name": "data", "emptyDir": {}}],
        "container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
    }
    space.made(JOBS, job("web", script, restart="OnFailure", parallelism=2, completions=2, pods=pods))
    done = ends(space, "web", "Complete")
    assert done["status"]["succeeded"] == 2 and not done["status"].get("failed")
    restarts = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods_of(space, "web")]
    assert restarts == [1, 1]


def test_a_job_is_suspended_and_resumed(space: Space) -> None:
    space.made(JOBS, job("web", "exit 0", suspend=True, completions=2, parallelism=2))
    settles(space, f"{JOBS}/web", active=0)
    space.until(lambda: condition(space.read(f"{JOBS}/web"), "Suspended"), "it says that it waits")
    found = space.read(f"{JOBS}/web")
    assert condition(found, "Suspended")["reason"] == "JobSuspended" and "startTime" not in found["status"]
    assert not pods_of(space, "web")
    change: Object = {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node2"}}}}}
    space.patched(f"{JOBS}/web", change)  # while it waits, where it runs and what it asks for may be changed
    resources = [{"name": "c", "resources": {"requests": {"cpu": "10m"}}}]
    change = {"spec": {"template": {"spec": {"containers": resources}}}}
    space.patched(f"{JOBS}/web", change, "application/strategic-merge-patch+json")
    space.patched(f"{JOBS}/web", {"spec": {"suspend": False}})
    done = ends(space, "web", "Complete")
    assert condition(done, "Suspended")["status"] == "False" and done["status"]["startTime"]
    specs = [one["spec"] for one in pods_of(space, "web")]
    assert {one["nodeName"] for one in specs} == {"node2"}
    assert {one["containers"][0]["resources"]["requests"]["cpu"] for one in specs} == {"10m"}


def test_suspending_takes_the_pods_away(space: Space) -> None:
    space.made(JOBS, job("web", parallelism=2, completions=2, backoffLimit=0))
    settles(space, f"{JOBS}/web", ready=2)
    space.patched(f"{JOBS}/web", {"spec": {"suspend": True}})
    space.until(lambda: not pods_of(space, "web"), "its pods are gone")
    settles(space, f"{JOBS}/web", active=0, failed=0)
    assert condition(space.read(f"{JOBS}/web"), "Suspended")["status"] == "True"
    reasons = {event["reason"] for event in space.events("--field-selector=involvedObject.name=web")}
    assert {"Suspended", "SuccessfulDelete"} <= reasons
    space.patched(f"{JOBS}/web", {"spec": {"suspend": False}})
    settles(space, f"{JOBS}/web", ready=2, failed=0)


def test_a_deadline_ends_the_job(space: Space) -> None:
    space.made(JOBS, job("web", parallelism=2, completions=2, activeDeadlineSeconds=1))
    failed = ends(space, "web", "Failed", "DeadlineExceeded")
    assert not failed["status"].get("active") and condition(failed, "FailureTarget")["status"] == "True"
    assert failed["status"]["failed"] == 2


def test_a_finished_job_goes_after_its_time(space: Space) -> None:
    made = job("web", "exit 0", ttlSecondsAfterFinished=2)
    made["metadata"]["finalizers"] = ["example.com/hold"]
    space.made(JOBS, made)
    space.until(lambda: "deletionTimestamp" in space.read(f"{JOBS}/web")["metadata"], "it is deleted")
    assert condition(space.read(f"{JOBS}/web"), "Complete")
    space.patched(f"{JOBS}/web", {"metadata": {"finalizers": None}})
    space.until(lambda: space.is_gone(f"{JOBS}/web") and not pods_of(space, "web"), "it and its pods are gone")


def test_too_many_failures_end_the_job(space: Space) -> None:
    space.made(JOBS, job("web", "exit 1", backoffLimit=0))
    failed = ends(space, "web", "Failed", "BackoffLimitExceeded")
    assert failed["status"]["failed"] == 1 and len(pods_of(space, "web")) == 1
    space.made(JOBS, job("again", "exit 1", backoffLimit=0, parallelism=3, completions=3))
    assert ends(space, "again", "Failed", "BackoffLimitExceeded")["status"]["failed"] >= 1
    assert has(space, f"{JOBS}/again", active=0)


def test_another_controllers_job_is_left_alone(space: Space) -> None:
    space.made(JOBS, job("other", managedBy="example.com/robot"))
    space.made(JOBS, job("ours", "exit 0", managedBy="kubernetes.io/job-controller"))
    ends(space, "ours", "Complete")
    assert not space.read(f"{JOBS}/other")["status"] and not pods_of(space, "other")
    refused = space.request(
        "PATCH",
        f"{JOBS}/other",
        {"spec": {"managedBy": "example.com/else"}},
        {"Content-Type": "application/merge-patch+json"},
    )
    assert refused.status == 422 and b"managedBy" in refused.body
