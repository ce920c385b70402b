"""What is told of pods that wait, end or are to go: images, generations, gates, evictions, names, files of variables.

Beyond the list of conformance tests.
"""

from typing import Any

import pytest
from conformance_kit import Space
from nodes_kit import condition

pytestmark = pytest.mark.slow

STRATEGIC = "application/strategic-merge-patch+json"
LIVES = "trap exit TERM; while :; do sleep 0.05; done"


def container(name: str = "c", script: str = LIVES, **fields: Any) -> dict[str, Any]:
    image = {"image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    return {"name": name, **image, **fields}


def made(space: Space, name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, **spec.pop("metadata", {})}
    filled = {"terminationGracePeriodSeconds": 5, "containers": list(containers) or [container()], **spec}
    return space.made("pods", {"metadata": metadata, "spec": filled})


def waits(space: Space, name: str) -> dict[str, str]:
    """Why each of its containers waits."""
    shown = space.pod(name)["status"].get("containerStatuses") or ()
    return {one["name"]: one["state"].get("waiting", {}).get("reason", "") for one in shown}


def variable(name: str, key: str, volume: str = "d", **fields: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fileKeyRef": {"volumeName": volume, "path": "f", "key": key, **fields}}}


def test_variables_out_of_a_file(space: Space) -> None:
    """An init container writes it; the container that reads it does not mount its volume."""
    volumes = [{"name": "d", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "none"}}]
    mount = [{"name": "d", "mountPath": "/d"}]
    written = "# words\nONE='eins' # one\nTWO='zwei\n  drei'\n"
    text = [{"name": "TEXT", "value": written}]
    write = container("write", 'printf %s "$TEXT" > /d/f', volumeMounts=mount, env=text)
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo hook $ONE > /tmp/said"]}}}
    words = [variable("ONE", "ONE"), variable("MORE", "TWO"), variable("NONE", "THREE", optional=True)]
    read = container("read", "until cat /tmp/said; do sleep 0.1; done; env", env=words, lifecycle=hook)
    parts = {"initContainers": [write], "volumes": volumes[:1], "restartPolicy": "Never"}
    made(space, "good", read, **parts)
    made(space, "missing", container(env=[variable("X", "X")]), **parts)
    bad = container("write", "echo ONE=eins > /d/f", volumeMounts=mount)
    made(space, "bad", container(env=words), **{**parts, "initContainers": [bad]})
    space.until_phase("good", "Succeeded")
    said = space.log("good", "-c", "read")
    assert "hook eins\n" in said and "ONE=eins\n" in said and "MORE=zwei\n  drei\n" in said and "NONE" not in said
    for name in ("missing", "bad"):
        space.until(lambda: waits(space, name)["c"] == "CreateContainerConfigError", f"{name} waits")  # noqa: B023
        assert space.phase(name) == "Pending"
    for volume, why in (("none", 'Not found: "none"'), ("s", "emptyDir")):
        spec = {"containers": [container(env=[variable("X", "X", volume)])], "volumes": volumes}
        answer = space.request("POST", "pods", {"metadata": {"name": "no"}, "spec": spec})
        assert answer.status == 422 and why in answer.object["message"], answer.object["message"]


def test_generations(space: Space) -> None:
    """They count changes of what a pod is to be, from one, and the node says which it has seen."""
    assert made(space, "counted", metadata={"generation": 100})["metadata"]["generation"] == 1

    def seen(number: int) -> bool:
        status = space.pod("counted")["status"]
        ours = ("Ready", "ContainersReady", "Initialized", "PodScheduled", "PodReadyToStartContainers")
        told = {one.get("observedGeneration") for one in status.get("conditions") or () if one["type"] in ours}
        return status.get("observedGeneration") == number and told == {number}

    space.until_ready("counted")
    space.until(lambda: seen(1), "the first one is seen")
    labels = space.patched("pods/counted", {"metadata": {"labels": {"a": "b"}}})
    assert labels["metadata"]["generation"] == 1
    tolerates = {"spec": {"tolerations": [{"key": "x", "operator": "Exists"}]}}
    assert space.patched("pods/counted", tolerates, STRATEGIC)["metadata"]["generation"] == 2
    space.until(lambda: seen(2), "the second one is seen")
    debug = {"spec": {"ephemeralContainers": [container("debug", "true")]}}
    path = "pods/counted/ephemeralcontainers"
    assert space.patched(path, debug, STRATEGIC)["metadata"]["generation"] == 3
    space.until(lambda: seen(3), "the third one is seen")
    deleted = space.request("DELETE", "pods/counted").object
    assert deleted["metadata"]["generation"] == 4


def test_why_a_container_waits_for_its_image(space: Space) -> None:
    images = {"never": "nobody/nothing:1", "named": "Not A Name", "away": "localhost:1/nothing:1"}
    parts = [{"name": name, "image": image} for name, image in images.items()]
    parts[0]["imagePullPolicy"] = "Never"
    made(space, "waiting", *parts)
    wanted = {"never": "ErrImageNeverPull", "named": "InvalidImageName", "away": "ImagePullBackOff"}
    space.until(lambda: waits(space, "waiting") == wanted, "each says why it waits")
    assert space.phase("waiting") == "Pending"
    told = "--field-selector=involvedObject.name=waiting"
    reasons = {"Failed", "BackOff", "ErrImageNeverPull"}
    space.until(lambda: reasons <= {one["reason"] for one in space.events(told)}, "events tell of it")
    space.kubectl("delete", "pod", "waiting", "--wait=false")
    space.until(lambda: space.is_gone("pods/waiting"), "it can go")


def test_gates_of_readiness(space: Space) -> None:
    made(space, "gated", readinessGates=[{"conditionType": "example.com/up"}])
    space.until(lambda: condition(space.pod("gated"), "ContainersReady") == "True", "its containers are ready")
    assert condition(space.pod("gated"), "Ready") == "False"
    for status in ("False", "True"):
        change = {"status": {"conditions": [{"type": "example.com/up", "status": status}]}}
        space.patched("pods/gated/status", change, STRATEGIC)
        space.until(lambda: condition(space.pod("gated"), "Ready") == status, f"Ready is {status}")  # noqa: B023


def test_readiness_goes_on_while_a_pod_ends(space: Space) -> None:
    ends = "rm /tmp/ok; until [ -f /tmp/end ]; do sleep 0.1; done; exit 0"
    script = f"touch /tmp/ok; trap '{ends}' TERM; while :; do sleep 0.1; done"
    probe = {"exec": {"command": ["cat", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 1}
    made(space, "ends", container(script=script, readinessProbe=probe), terminationGracePeriodSeconds=60)
    space.until_ready("ends")
    space.kubectl("delete", "pod", "ends", "--wait=false")
    space.until(lambda: condition(space.pod("ends"), "Ready") == "False", "it is not ready any more")
    assert space.pod("ends")["status"]["containerStatuses"][0]["state"].get("running")
    space.shell("ends", "touch /tmp/end")
    space.until(lambda: space.is_gone("pods/ends"), "it is gone")


def test_evictions(space: Space) -> None:
    """A budget refuses one; without it the pod is told of why, and its hook still has its time."""
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    space.made("policy/v1/poddisruptionbudgets", {"metadata": {"name": "b"}, "spec": budget})
    slow = {"preStop": {"sleep": {"seconds": 1}}}
    held = {"labels": {"app": "x"}, "finalizers": ["conformance.boxship.io/held"]}
    made(space, "evicted", container(lifecycle=slow), metadata=held)
    space.until_ready("evicted")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted", "namespace": space.name}}
    answer = space.request("POST", "pods/evicted/eviction", eviction)
    assert (answer.status, answer.object["reason"]) == (429, "TooManyRequests")
    space.request("DELETE", "policy/v1/poddisruptionbudgets/b")
    assert space.request("POST", "pods/evicted/eviction", eviction).status == 201
    assert space.request("POST", "pods/evicted/eviction", eviction).status == 201
    ended = space.until_phase("evicted", "Succeeded", "Failed")
    found = next(one for one in ended["status"]["conditions"] if one["type"] == "DisruptionTarget")
    assert (found["status"], found["reason"]) == ("True", "EvictionByEvictionAPI")
    space.patched("pods/evicted", {"metadata": {"finalizers": None}})
    space.until(lambda: space.is_gone("pods/evicted"), "it is gone")


def test_names_of_pods(space: Space) -> None:
    """As they see them: their own, one of a subdomain, and one in place of all."""
    made(space, "plain")
    made(space, "full", hostname="h", subdomain="sub", setHostnameAsFQDN=True)
    made(space, "other", hostnameOverride="my.other.name")
    space.until_ready("plain", "full", "other")
    wanted = {"plain": "plain", "full": f"h.sub.{space.name}.svc.cluster.local", "other": "my.other.name"}
    for name, host in wanted.items():
        assert space.shell(name, "hostname").strip() == host
        hosts = [line.split() for line in space.shell(name, "cat /etc/hosts").splitlines()]
        address = space.pod(name)["status"]["podIP"]
        assert next(line for line in hosts if line[0] == address)[1] == host
