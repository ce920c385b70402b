"""Sidecars, and rules of a container's own: who begins when, who ends last, and what is started again.

Beyond the list of conformance tests: what users of these features look for.
"""

from typing import Any

import pytest
from conformance_kit import Space

pytestmark = pytest.mark.slow

LIVES = "trap exit TERM; while :; do sleep 0.05; done"


def container(name: str, script: str = LIVES, more: str = "") -> str:
    return (
        f"{{name: {name}, image: busybox, imagePullPolicy: IfNotPresent, volumeMounts: [{{name: d, mountPath: /d}}], "
        f'command: [sh, -c, "{script}"]{more}}}'
    )


def sidecar(name: str, script: str = LIVES, more: str = "") -> str:
    return container(name, script, f", restartPolicy: Always{more}")


def pod(name: str, first: list[str], main: list[str], policy: str = "Always", more: str = "") -> str:
    """A pod whose containers share /d."""
    return f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}}}
        spec:
          restartPolicy: {policy}
          terminationGracePeriodSeconds: 20
          {more}
          initContainers: [{", ".join(first)}]
          containers: [{", ".join(main)}]
          volumes: [{{name: d, emptyDir: {{}}}}]
    """


def statuses(space: Space, name: str) -> dict[str, Any]:
    status = space.pod(name)["status"]
    both = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    return {one["name"]: one for one in both}


def ended(one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = one["state"].get("terminated") or {}
    return found


def note(word: str) -> str:
    return f"echo {word} >> /d/notes"


def leaves(word: str) -> str:
    """A script that writes down when it is asked to end, and takes its time for that."""
    return f"trap 'echo {word} >> /d/notes; sleep 0.2; exit 0' TERM; {note('+' + word)}; while :; do sleep 0.05; done"


def test_sidecars_begin_in_order_and_end_in_reverse(space: Space) -> None:
    """What they wrote down is read by a last one that ends after all others."""
    first = [
        sidecar("last", "trap 'cat /d/notes > /dev/termination-log; exit 0' TERM; while :; do sleep 0.05; done"),
        sidecar("one", leaves("one")),
        container("init", note("init")),
        sidecar("two", leaves("two")),
    ]
    space.apply(
        pod("ordered", first, [container("main", leaves("main"))], more="").replace(
            "metadata: {name", "metadata: {finalizers: [conformance.boxship.io/held], name"
        )
    )
    space.until_ready("ordered")
    space.kubectl("delete", "pod", "ordered", "--wait=false")
    space.until(lambda: space.phase("ordered") in ("Succeeded", "Failed"), "the pod has ended")
    said = ended(statuses(space, "ordered")["last"])["message"]
    space.patched("pods/ordered", {"metadata": {"finalizers": None}})
    assert said.split() == ["+one", "init", "+two", "+main", "main", "two", "one"]
    space.until(lambda: space.is_gone("pods/ordered"), "it is gone")


def test_a_pod_ends_with_its_containers_and_not_with_its_sidecars(space: Space) -> None:
    """How the sidecars end says nothing of the pod."""
    bad = "trap 'exit 3' TERM; while :; do sleep 0.05; done"
    space.apply(pod("good", [sidecar("s", bad)], [container("m", "exit 0")], "Never"))
    space.apply(pod("bad", [sidecar("s")], [container("m", "exit 5")], "Never"))
    space.apply(pod("init", [sidecar("s"), container("i", "exit 4")], [container("m", "exit 0")], "Never"))
    for name, phase, codes in (
        ("good", "Succeeded", {"s": 3, "m": 0}),
        ("bad", "Failed", {"s": 0, "m": 5}),
        ("init", "Failed", {"s": 0, "i": 4}),
    ):
        space.until_phase(name, phase)
        found = statuses(space, name)
        assert {one: ended(found[one]).get("exitCode") for one in codes} == codes
    assert statuses(space, "init")["m"]["state"]["waiting"]["reason"] == "PodInitializing"


def test_a_sidecar_that_keeps_ending_holds_nobody_up(space: Space) -> None:
    """It has to wait 10 s after its second end; meanwhile the others have begun and are through."""
    first = [sidecar("crashes", "sleep 0.2; exit 1"), container("init", "sleep 1.5")]
    space.apply(pod("flaky", first, [container("m", "exit 0")], "Never"))
    space.until_phase("flaky", "Succeeded")
    found = statuses(space, "flaky")
    assert (found["crashes"]["restartCount"], found["init"]["restartCount"]) == (1, 0)


def test_a_job_with_a_sidecar_completes(space: Space) -> None:
    space.apply(f"""
        apiVersion: batch/v1
        kind: Job
        metadata: {{name: work}}
        spec:
          template:
            spec:
              restartPolicy: Never
              initContainers: [{sidecar("s")}]
              containers: [{container("m", "true")}]
              volumes: [{{name: d, emptyDir: {{}}}}]
    """)
    space.until(lambda: space.read("batch/v1/jobs/work")["status"].get("succeeded") == 1, "the Job has completed")


def test_a_probe_of_a_sidecar_keeps_the_next_waiting(space: Space) -> None:
    probe = ", startupProbe: {exec: {command: [cat, /d/started]}, periodSeconds: 1, failureThreshold: 60}"
    ready = ", readinessProbe: {exec: {command: [cat, /d/ready]}, periodSeconds: 1}"
    space.apply(pod("probed", [sidecar("s", more=probe + ready)], [container("m")]))
    space.until(lambda: statuses(space, "probed").get("s", {"state": {}})["state"].get("running"), "the sidecar runs")
    assert not statuses(space, "probed")["s"]["started"]
    assert statuses(space, "probed")["m"]["state"]["waiting"]["reason"] == "PodInitializing"
    space.shell("probed", "touch /d/started", "s")
    space.until(lambda: statuses(space, "probed")["m"]["ready"], "the main container runs")
    found = space.pod("probed")["status"]["conditions"]
    assert {one["type"]: one["status"] for one in found}["Ready"] == "False"
    space.shell("probed", "touch /d/ready", "s")
    space.until_ready("probed")


def test_rules_of_a_containers_own(space: Space) -> None:
    """A policy of its own goes before the pod's, a rule for its exit code before both."""
    rule = "[{{action: Restart, exitCodes: {{operator: {}, values: [{}]}}}}]"
    own = ", restartPolicy: {}, restartPolicyRules: {}"
    fails_once = "test -f /d/{0} && exit 0; touch /d/{0}; exit 42"
    cases = [
        container("in", fails_once.format("in"), own.format("Never", rule.format("In", 42))),
        container("other", "exit 42", own.format("Never", rule.format("In", 41))),
        container("not-in", fails_once.format("not-in"), own.format("Never", rule.format("NotIn", "0, 1"))),
        container("policy", fails_once.format("policy"), ", restartPolicy: OnFailure"),
    ]
    space.apply(pod("rules", [], cases, "Never"))
    space.until_phase("rules", "Failed")
    found = statuses(space, "rules")
    assert {name: one["restartCount"] for name, one in found.items()} == {"in": 1, "other": 0, "not-in": 1, "policy": 1}
    assert {name: ended(one)["exitCode"] for name, one in found.items()} == {
        "in": 0,
        "other": 42,
        "not-in": 0,
        "policy": 0,
    }


def test_sleeps_and_signals_of_a_pods_end(space: Space) -> None:
    """A preStop hook that sleeps, for no time too; a signal of one's own; a hook that outlives the grace."""
    said = "trap 'echo {0} > /dev/termination-log; exit 9' {0}; while :; do sleep 0.05; done"
    hook = ", lifecycle: {{preStop: {{sleep: {{seconds: {}}}}}}}"
    space.apply(pod("none", [], [container("m", said.format("TERM"), hook.format(0))]))
    space.apply(pod("long", [], [container("m", said.format("TERM"), hook.format(15))]))
    signal = ", lifecycle: {stopSignal: SIGUSR1}"
    space.apply(pod("usr1", [], [container("m", said.format("USR1"), signal)], more="os: {name: linux}"))
    names = ("none", "long", "usr1")
    for name in names:
        space.patched(f"pods/{name}", {"metadata": {"finalizers": ["conformance.boxship.io/held"]}})
    space.until_ready(*names)
    space.kubectl("delete", "pod", "none", "usr1", "--wait=false")
    space.kubectl("delete", "pod", "long", "--wait=false", "--grace-period=2")
    space.until(lambda: all(space.phase(name) == "Failed" for name in names), "all have ended")
    for name in names:
        one = ended(statuses(space, name)["m"])
        assert one["message"] == ("USR1\n" if name == "usr1" else "TERM\n") and one["exitCode"] == 9
        space.patched(f"pods/{name}", {"metadata": {"finalizers": None}})
