"""Jobs beyond the list: back-off by index, success policies, elastic sizes, which pods are replaced when."""

import pytest
from conformance_apps_kit import Object, condition, job, names, pods_of, settles
from conformance_kit import Space
from test_cluster_conformance_apps_jobs import INDEX, JOBS, ends

pytestmark = pytest.mark.slow

INDEXED: Object = {"completionMode": "Indexed"}


def test_an_index_fails_for_itself(space: Space) -> None:
    script = "exit $((JOB_COMPLETION_INDEX % 2))"
    space.made(JOBS, job("web", script, completions=4, parallelism=2, backoffLimitPerIndex=0, **INDEXED))
    failed = ends(space, "web", "Failed", "FailedIndexes")
    status = failed["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1,3")
    assert (status["succeeded"], status["failed"]) == (2, 2)
    assert condition(failed, "FailureTarget")["reason"] == "FailedIndexes"


def test_too_many_failed_indexes_end_the_job(space: Space) -> None:
    script = "[ $JOB_COMPLETION_INDEX = 0 ] && exit 1; trap exit TERM; sleep 1000 & wait"
    spec: Object = {"completions": 4, "parallelism": 4, "backoffLimitPerIndex": 0, "maxFailedIndexes": 0, **INDEXED}
    space.made(JOBS, job("web", script, **spec))
    failed = ends(space, "web", "Failed", "MaxFailedIndexesExceeded")
    assert failed["status"]["failedIndexes"].startswith("0") and not failed["status"].get("active")


def test_a_rule_fails_an_index_at_once(space: Space) -> None:
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [7]}}
    script = "[ $JOB_COMPLETION_INDEX = 1 ] && exit 7; exit 0"
    spec: Object = {"completions": 2, "parallelism": 2, "backoffLimitPerIndex": 5, **INDEXED}
    space.made(JOBS, job("web", script, podFailurePolicy={"rules": [rule]}, **spec))
    failed = ends(space, "web", "Failed", "FailedIndexes")
    assert (failed["status"]["completedIndexes"], failed["status"]["failedIndexes"]) == ("0", "1")
    assert len(pods_of(space, "web")) == 2  # it was not tried again


@pytest.mark.parametrize(
    "rule", [{"succeededIndexes": "0"}, {"succeededCount": 1}, {"succeededIndexes": "0,2", "succeededCount": 1}]
)
def test_enough_indexes_are_a_success(space: Space, rule: dict[str, object]) -> None:
    script = "[ $JOB_COMPLETION_INDEX = 0 ] && exit 0; trap exit TERM; sleep 1000 & wait"
    spec: Object = {"completions": 3, "parallelism": 3, "successPolicy": {"rules": [rule]}, **INDEXED}
    space.made(JOBS, job("web", script, **spec))
    done = ends(space, "web", "Complete", "SuccessPolicy")
    assert condition(done, "SuccessCriteriaMet")["reason"] == "SuccessPolicy"
    assert (done["status"]["completedIndexes"], done["status"]["succeeded"]) == ("0", 1)
    assert not done["status"].get("active") and not done["status"].get("terminating")


def test_an_indexed_job_grows_and_shrinks(space: Space) -> None:
    spec: Object = {"completions": 3, "parallelism": 3, "backoffLimit": 0, **INDEXED}
    script = "trap 'exit 0' USR1; trap 'exit 1' TERM; while :; do sleep 0.1; done"
    space.made(JOBS, job("web", script, pods={"terminationGracePeriodSeconds": 5}, **spec))
    settles(space, f"{JOBS}/web", ready=3)
    for size, indexes in ((1, ["0"]), (4, ["0", "1", "2", "3"])):
        space.patched(f"{JOBS}/web", {"spec": {"completions": size, "parallelism": size}})
        settles(space, f"{JOBS}/web", ready=size, active=size, failed=0)
        living = [pod for pod in pods_of(space, "web") if "deletionTimestamp" not in pod["metadata"]]
        assert sorted(pod["metadata"]["annotations"][INDEX] for pod in living) == indexes
    refused = space.request(
        "PATCH", f"{JOBS}/web", {"spec": {"completions": 2}}, {"Content-Type": "application/merge-patch+json"}
    )
    assert refused.status == 422  # never completions alone
    for name in names(pods_of(space, "web")):
        space.shell(name, "kill -USR1 1")
    assert ends(space, "web", "Complete")["status"]["completedIndexes"] == "0-3"


def test_failed_pods_alone_are_replaced(space: Space) -> None:
    """By default a pod is replaced as soon as it is deleted, with the policy Failed when it has ended."""
    pods = {"terminationGracePeriodSeconds": 300}
    script = "trap : TERM; trap 'exit 1' USR1; while :; do sleep 0.1; done"
    for name, policy in (("early", "TerminatingOrFailed"), ("late", "Failed")):
        space.made(JOBS, job(name, script, podReplacementPolicy=policy, pods=pods, backoffLimit=6))
    for name in ("early", "late"):
        settles(space, f"{JOBS}/{name}", ready=1)
    old = {name: names(pods_of(space, name))[0] for name in ("early", "late")}
    for name in old.values():
        space.request("DELETE", f"pods/{name}")
    settles(space, f"{JOBS}/early", active=1, terminating=1, failed=1)
    settles(space, f"{JOBS}/late", active=0, terminating=1, failed=0)
    assert names(pods_of(space, "late")) == [old["late"]]
    for name in old.values():
        space.shell(name, "kill -USR1 1")
    settles(space, f"{JOBS}/late", active=1, terminating=0, failed=1)
    settles(space, f"{JOBS}/early", active=1, terminating=0, failed=1)
    for app in old:
        space.patched(f"{JOBS}/{app}", {"spec": {"parallelism": 0}})
        settles(space, f"{JOBS}/{app}", active=0)
        for name in names(pods_of(space, app)):
            space.request("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0})


def test_pods_are_tried_again_elsewhere(space: Space) -> None:
    """Failing once, without restarts in place: another pod comes after a pause."""
    folder = space.cluster.home / f"once-{space.name}"
    folder.mkdir()
    pods = {
        "volumes": [{"name": "host", "hostPath": {"path": str(folder)}}],
        "container": {"volumeMounts": [{"name": "host", "mountPath": "/host"}]},
    }
    space.made(JOBS, job("web", "mkdir /host/once && exit 1; exit 0", pods=pods))
    space.until(lambda: space.read(f"{JOBS}/web")["status"].get("failed") == 1, "it has failed once")
    assert space.read(f"{JOBS}/web")["status"].get("active", 0) == 0  # not at once
    done = ends(space, "web", "Complete")
    assert (done["status"]["succeeded"], done["status"]["failed"]) == (1, 1)
