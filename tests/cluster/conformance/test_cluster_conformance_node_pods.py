"""Pods as objects and as what runs: their life seen by a watch, what may be changed, their addresses, hosts files."""

import json
import threading
from typing import Any

import pytest
from conformance_kit import Space
from nodes_kit import condition

pytestmark = pytest.mark.slow

MERGE = "application/strategic-merge-patch+json"


def pod(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """One that sleeps."""
    container = {
        "name": "c",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"],
    }
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"containers": [{**container, **spec.pop("container", {})}], **spec},
    }


class Watch:
    """Events of the namespace's pods with a label, read beside the test."""

    def __init__(self, space: Space, labels: str) -> None:
        version = space.read("pods")["metadata"]["resourceVersion"]
        self._connection = space.cluster.control.connection
        self._path = (
            f"/api/v1/namespaces/{space.name}/pods?watch=1&labelSelector={labels}&resourceVersion={version}"
            "&timeoutSeconds=120"
        )
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._thread = threading.Thread(target=space.cluster.control.namespace.run, args=(self._read,), daemon=True)
        self._thread.start()

    def _read(self) -> None:
        connection = self._connection()
        connection.timeout = 180
        connection.request("GET", self._path)
        answer = connection.getresponse()
        while line := answer.readline():
            event = json.loads(line)
            self.events.append((event["type"], event["object"]))
            if event["type"] == "DELETED":
                break
        connection.close()

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


# Covers: Pods, lifecycle.
def test_a_pod_is_submitted_and_removed(space: Space) -> None:
    watch = Watch(space, "time=now")
    space.made("pods", pod("sent", labels={"time": "now"}))
    assert [one["metadata"]["name"] for one in space.get("pods", "-l", "time=now")] == ["sent"]
    space.until(lambda: watch.kinds()[:1] == ["ADDED"], "its creation is heard of")
    space.until_ready("sent")
    answer = space.request("DELETE", "pods/sent", {"gracePeriodSeconds": 30})
    assert answer.status == 200
    assert answer.object["metadata"]["deletionGracePeriodSeconds"] == 30
    space.until(lambda: "DELETED" in watch.kinds(), "its end is heard of")
    last = watch.events[-1][1]
    assert last["metadata"]["deletionTimestamp"] and last["spec"]["containers"][0]["name"] == "c"
    assert any(one["metadata"].get("deletionTimestamp") for kind, one in watch.events if kind == "MODIFIED")
    assert space.get("pods", "-l", "time=now") == []


# Covers: Pods, update; Pods, ActiveDeadlineSeconds.
def test_a_pod_is_updated(space: Space) -> None:
    space.made("pods", pod("changed", labels={"time": "one"}, terminationGracePeriodSeconds=1))
    space.until_ready("changed")
    assert [one["metadata"]["name"] for one in space.get("pods", "-l", "time=one")] == ["changed"]

    def replaced(change: Any) -> bool:
        """As clients do: again where another one was faster."""
        found = space.pod("changed")
        change(found)
        answer = space.request("PUT", "pods/changed", found)
        assert answer.status in (200, 409), answer.body
        return answer.status == 200

    space.until(lambda: replaced(lambda found: found["metadata"]["labels"].update(time="two")), "its label is changed")
    assert [one["metadata"]["name"] for one in space.get("pods", "-l", "time=two")] == ["changed"]
    space.until(lambda: replaced(lambda found: found["spec"].update(activeDeadlineSeconds=3)), "its deadline is set")
    longer = space.request("PATCH", "pods/changed", {"spec": {"activeDeadlineSeconds": 5}}, {"Content-Type": MERGE})
    assert longer.status == 422
    ended = space.until_phase("changed", "Failed")
    assert ended["status"]["reason"] == "DeadlineExceeded"
    assert "longer than the specified deadline" in ended["status"]["message"]


# Covers: Pods, delete a collection.
def test_a_collection_of_pods_is_deleted(space: Space) -> None:
    for number in range(3):
        space.made("pods", pod(f"test-{number}", labels={"type": "Testing"}))
    space.made("pods", pod("kept"))
    space.until_ready("test-0", "test-1", "test-2", "kept")
    answer = space.request("DELETE", "pods?labelSelector=type%3DTesting", {"gracePeriodSeconds": 1})
    assert answer.status == 200
    space.until(lambda: space.get("pods", "-l", "type=Testing") == [], "they are gone")
    assert condition(space.pod("kept"), "Ready") == "True"


# Covers: Pods, assigned hostip; Pods, QOS.
def test_addresses_and_quality(space: Space) -> None:
    amounts = {"cpu": "100m", "memory": "100Mi"}
    given = {"resources": {"requests": amounts, "limits": amounts}}
    less = {"resources": {"requests": {"cpu": "10m"}, "limits": amounts}}
    for name, container, quality in (
        ("all", given, "Guaranteed"),
        ("some", less, "Burstable"),
        ("none", {}, "BestEffort"),
    ):
        made = space.made("pods", pod(name, container=container, terminationGracePeriodSeconds=0))
        assert made["status"]["qosClass"] == quality
    space.until_ready("all", "some", "none")
    for name in ("all", "some", "none"):
        found = space.pod(name)
        node = space.cluster.get("node", found["spec"]["nodeName"])[0]
        own = [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
        assert [one["ip"] for one in found["status"]["hostIPs"]] == own
        assert found["status"]["hostIP"] == own[0] and found["status"]["podIP"] == found["status"]["podIPs"][0]["ip"]


# Covers: Pods, patching status.
def test_a_status_is_patched(space: Space) -> None:
    space.made("pods", pod("told", labels={"app": "x"}))
    space.until_ready("told")
    change = {"status": {"message": "Patched by e2e test", "reason": "E2E"}}
    found = space.patched("pods/told/status", change, MERGE)["status"]
    assert (found["message"], found["reason"]) == ("Patched by e2e test", "E2E")
    assert found["phase"] == "Running"
    both = {"metadata": {"labels": {"app": "y"}}, "spec": {"activeDeadlineSeconds": 5}, "status": {"reason": "again"}}
    found = space.patched("pods/told/status", both, MERGE)
    assert found["status"]["reason"] == "again"
    assert "activeDeadlineSeconds" not in found["spec"]


# Covers: Pods, completes the lifecycle of a Pod and the PodStatus.
def test_a_pods_life_and_its_status(space: Space) -> None:
    for node in space.cluster.nodes:
        node.build("second", "FROM busybox\nENV SECOND=1\n")
    watch = Watch(space, "test-pod-static=true")
    space.made("pods", pod("test", labels={"test-pod-static": "true"}, terminationGracePeriodSeconds=1))
    space.until_ready("test")
    change = {
        "metadata": {"labels": {"test-pod": "patched"}},
        "spec": {"containers": [{"name": "c", "image": "second"}]},
    }
    found = space.patched("pods/test", change, MERGE)
    assert found["metadata"]["labels"] == {"test-pod-static": "true", "test-pod": "patched"}
    assert found["spec"]["containers"][0]["image"] == "second"

    def restarted() -> bool:
        one = space.pod("test")["status"]["containerStatuses"][0]
        return bool(one["restartCount"] == 1 and one["ready"] and one["image"] == "second")

    space.until(restarted, "its container runs with the other image")
    space.until_ready("test")

    def made_unready() -> bool:
        whole = space.read("pods/test/status")
        for one in whole["status"]["conditions"]:
            if one["type"] in ("Ready", "ContainersReady"):
                one["status"] = "False"
        answer = space.request("PUT", "pods/test/status", whole)
        assert answer.status in (200, 409), answer.body
        if answer.status == 200:
            assert [condition(answer.object, kind) for kind in ("Ready", "ContainersReady")] == ["False", "False"]
        return answer.status == 200

    space.until(made_unready, "its status is replaced")
    space.until_ready("test")  # its node knows better
    space.request("DELETE", "pods?labelSelector=test-pod-static%3Dtrue", {"gracePeriodSeconds": 1})
    space.until(lambda: "DELETED" in watch.kinds(), "its end is heard of")
    assert watch.kinds()[0] == "ADDED" and set(watch.kinds()[1:-1]) == {"MODIFIED"}
    assert space.is_gone("pods/test")


# Covers: Kubelet, hostAliases; Kubelet, managed etc hosts.
def test_hosts_files(space: Space) -> None:
    aliases = [{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}, {"ip": "10.1.2.3", "hostnames": ["other"]}]
    own = pod("own", hostAliases=aliases, terminationGracePeriodSeconds=0)
    further = {"name": "mounts", "volumeMounts": [{"name": "hosts", "mountPath": "/etc/hosts"}]}
    own["spec"]["containers"].append({**own["spec"]["containers"][0], **further})
    own["spec"]["volumes"] = [{"name": "hosts", "hostPath": {"path": "/etc/hosts", "type": "File"}}]
    space.made("pods", own)
    shared = {"name": "second", **{key: own["spec"]["containers"][0][key] for key in ("image", "command")}}
    host = pod("host", hostNetwork=True, terminationGracePeriodSeconds=0)
    host["spec"]["containers"].append({**shared, "imagePullPolicy": "IfNotPresent"})
    space.made("pods", host)
    space.made("pods", pod("aliased", hostNetwork=True, hostAliases=aliases, terminationGracePeriodSeconds=0))
    space.until_ready("own", "host", "aliased")

    text = space.shell("own", "cat /etc/hosts", "c")
    assert text.startswith("# Kubernetes-managed hosts file.\n")
    lines = [line.split() for line in text.splitlines()]
    assert ["127.0.0.1", "localhost"] in lines
    assert [space.pod("own")["status"]["podIP"], "own"] in lines
    assert ["123.45.67.89", "foo", "bar"] in lines and ["10.1.2.3", "other"] in lines
    with open("/etc/hosts") as file:
        machine = file.read()
    assert space.shell("own", "cat /etc/hosts", "mounts") == machine
    for container in ("c", "second"):
        found = space.shell("host", "cat /etc/hosts", container)
        assert not found.startswith("# Kubernetes-managed hosts file.\n")
        assert found == f"# Kubernetes-managed hosts file (host network).\n{machine}"
    found = space.shell("aliased", "cat /etc/hosts")
    assert machine.rstrip("\n") in found and ["123.45.67.89", "foo", "bar"] in [
        line.split() for line in found.splitlines()
    ]
