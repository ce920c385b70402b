"""How containers end and what is told of it: messages, restarts, init containers that fail."""

from typing import Any

import pytest
from conformance_kit import Space
from nodes_kit import condition

pytestmark = pytest.mark.slow


def pod(name: str, script: str, more: str = "", *, policy: str = "Never", first: str = "") -> str:
    """A pod of one container; `first`: its init containers."""
    return f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}}}
        spec:
          restartPolicy: {policy}
          terminationGracePeriodSeconds: 0
          initContainers: [{first}]
          containers:
          - {{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "{script}"]{more}}}
    """


def init(name: str, script: str) -> str:
    return f"{{name: {name}, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, '{script}']}}"


def statuses(pod: dict[str, Any], key: str = "containerStatuses") -> dict[str, Any]:
    return {one["name"]: one for one in pod["status"].get(key) or ()}


def message(pod: dict[str, Any]) -> str:
    return str(statuses(pod)["c"]["state"]["terminated"].get("message", ""))


# Covers: Container Runtime, TerminationMessage, from log output of succeeding container;
# Container Runtime, TerminationMessage, from file of succeeding container;
# Container Runtime, TerminationMessage, from container's log output of failing container;
# Container Runtime, TerminationMessagePath, non-root user and non-default path.
def test_what_a_container_says_at_its_end(space: Space) -> None:
    falls_back = ", terminationMessagePolicy: FallbackToLogsOnError"
    elsewhere = ", terminationMessagePath: /dev/own-place, securityContext: {runAsUser: 1000}"
    cases = {
        "log-good": ("echo DONE", falls_back, ""),
        "log-bad": ("echo -n DONE; exit 1", falls_back, "DONE"),
        "file-good": ("echo log; echo -n OK > /dev/termination-log", falls_back, "OK"),
        "file-bad": ("echo log; echo -n OK > /dev/termination-log; exit 1", falls_back, "OK"),
        "path": ("echo -n DONE > /dev/own-place", elsewhere, "DONE"),
        "never-log": ("echo DONE; exit 1", "", ""),
        "long": ("yes 0123456789 | head -c 5000 > /dev/termination-log", "", "0123456789\n" * 372 + "0123"),
        "long-log": ("yes 0123456789 | head -n 300; exit 1", falls_back, "0123456789\n" * 80),
    }
    for name, (script, more, _) in cases.items():
        space.apply(pod(name, script, more))
    for name, (_, _, said) in cases.items():
        assert message(space.until_phase(name, "Succeeded", "Failed")) == said, name


# Covers: Container Runtime, Restart Policy, Pod Phases.
def test_restart_policies(space: Space) -> None:
    """Three pods whose container fails at first: each policy makes something else of it."""
    volume = """
          volumes: [{name: kept, emptyDir: {}}]
    """
    fails_twice = "n=$(cat /kept/n || echo 0); echo $((n+1)) > /kept/n; [ $n -ge {} ] && {}; exit 1"
    mount = ", volumeMounts: [{name: kept, mountPath: /kept}]"
    always = fails_twice.format(1, "exec sleep 600")
    space.apply(pod("always", always, mount, policy="Always") + volume)
    space.apply(pod("on-failure", fails_twice.format(1, "exit 0"), mount, policy="OnFailure") + volume)
    space.apply(pod("never", fails_twice.format(9, "exit 0"), mount, policy="Never") + volume)

    failed = space.until_phase("never", "Failed")
    assert statuses(failed)["c"]["restartCount"] == 0
    assert condition(failed, "Ready") == "False"
    assert statuses(failed)["c"]["state"]["terminated"]["exitCode"] == 1
    space.until_ready("always")
    ready = space.pod("always")
    assert (ready["status"]["phase"], statuses(ready)["c"]["restartCount"]) == ("Running", 1)
    assert "running" in statuses(ready)["c"]["state"]
    assert statuses(ready)["c"]["lastState"]["terminated"]["exitCode"] == 1
    done = space.until_phase("on-failure", "Succeeded")
    assert statuses(done)["c"]["restartCount"] == 1
    assert condition(done, "Ready") == "False"
    assert statuses(done)["c"]["state"]["terminated"]["exitCode"] == 0


# Covers: init-container-starts-app-restartalways-pod; init-container-starts-app-restartnever-pod.
def test_init_containers_come_first(space: Space) -> None:
    first = f"{init('one', 'true')}, {init('two', 'true')}"
    space.apply(pod("always", "exec sleep 600", policy="Always", first=first))
    space.apply(pod("never", "true", policy="Never", first=first))
    done = space.until_phase("never", "Succeeded")
    space.until_ready("always")
    for found in (done, space.pod("always")):
        assert condition(found, "Initialized") == "True"
        before = statuses(found, "initContainerStatuses")
        assert list(before) == ["one", "two"]
        for one in before.values():
            assert one["ready"] and one["restartCount"] == 0
            assert one["state"]["terminated"]["exitCode"] == 0
        ends = [one["state"]["terminated"] for one in before.values()]
        assert ends[0]["finishedAt"] <= ends[1]["startedAt"]


# Covers: init-container-fails-stops-app-restartnever-pod.
def test_an_init_container_that_fails_ends_the_pod(space: Space) -> None:
    first = f"{init('good', 'true')}, {init('bad', 'exit 3')}, {init('later', 'true')}"
    space.apply(pod("never", "true", policy="Never", first=first))
    found = space.until_phase("never", "Failed")
    before = statuses(found, "initContainerStatuses")
    assert before["good"]["state"]["terminated"]["exitCode"] == 0
    assert before["bad"]["state"]["terminated"]["exitCode"] == 3
    assert before["later"]["state"]["waiting"]["reason"] == "PodInitializing"
    assert statuses(found)["c"]["state"]["waiting"]["reason"] == "PodInitializing"
    assert condition(found, "Initialized") == "False"


# Covers: init-container-fails-stops-app-restartalways-pod.
def test_an_init_container_that_fails_is_tried_again(space: Space) -> None:
    """And nothing after it begins meanwhile."""
    first = f"{init('bad', 'false')}, {init('later', 'true')}"
    space.apply(pod("always", "exec sleep 600", policy="Always", first=first))
    space.apply(pod("on-failure", "true", policy="OnFailure", first=first))

    def tried() -> bool:
        found = [statuses(space.pod(name), "initContainerStatuses").get("bad") for name in ("always", "on-failure")]
        return all(one is not None and one["restartCount"] >= 1 and one["lastState"] for one in found)

    space.until(tried, "both were tried again")
    for name in ("always", "on-failure"):
        found = space.pod(name)
        assert found["status"]["phase"] == "Pending"
        assert condition(found, "Initialized") == "False"
        reasons = [one["reason"] for one in found["status"]["conditions"] if one["type"] == "Initialized"]
        assert reasons == ["ContainersNotInitialized"]
        later = statuses(found, "initContainerStatuses")["later"]
        assert later["state"]["waiting"]["reason"] == statuses(found)["c"]["state"]["waiting"]["reason"]
        assert later["restartCount"] == 0 and "containerID" not in statuses(found)["c"]


# Covers: Kubelet, failed pod, terminated reason; Kubelet, failed pod, delete.
def test_a_pod_that_always_fails(space: Space) -> None:
    space.apply(pod("fails", "exit 1", policy="Always"))

    def ended() -> bool:
        one = statuses(space.pod("fails")).get("c") or {"state": {}, "lastState": {}}
        found = one["state"].get("terminated") or one["lastState"].get("terminated")
        return bool(found and found["reason"] == "Error" and found["exitCode"] == 1)

    space.until(ended, "its end and the reason are told")
    space.kubectl("delete", "pod", "fails", "--wait=false")
    space.until(lambda: space.is_gone("pods/fails"), "it is gone")


# Covers: Kubelet, log output, default; Kubelet, pod with read only root file system.
def test_logs_and_a_root_that_nobody_writes_to(space: Space) -> None:
    space.apply(pod("talks", "echo 'Hello World'; echo error >&2"))
    read_only = ", securityContext: {readOnlyRootFilesystem: true}"
    space.apply(pod("writes", "echo test > /file; ls /file; exit 0", read_only))
    for name in ("talks", "writes"):
        space.until_phase(name, "Succeeded")
    assert sorted(space.log("talks").splitlines()) == ["Hello World", "error"]
    said = space.log("writes")
    assert "Read-only file system" in said and "No such file" in said
