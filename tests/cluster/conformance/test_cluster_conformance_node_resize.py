"""Other resources for pods that run: in place, with a restart, or not at all, and what is told of it.

Beyond the list of conformance tests: what users of `kubectl patch --subresource resize` look for.
"""

from pathlib import Path
from typing import Any

import pytest
from conformance_kit import Space

from boxship.cluster.objects.pod_resources import pod_amounts
from boxship.cluster.objects.quantity import ZERO, parse
from boxship.sys import cgroup

pytestmark = pytest.mark.slow

STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
LIVES = "trap exit TERM; while :; do sleep 0.05; done"
Amounts = dict[str, str]


def resources(requests: Amounts | None = None, limits: Amounts | None = None) -> dict[str, Any]:
    both = {"requests": requests, "limits": limits}
    return {side: amounts for side, amounts in both.items() if amounts}


def container(name: str, script: str = LIVES, **fields: Any) -> dict[str, Any]:
    image = {"image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    return {"name": name, **image, **fields}


def made(space: Space, name: str, *containers: dict[str, Any], **spec: Any) -> None:
    filled = {"terminationGracePeriodSeconds": 0, "containers": list(containers), **spec}
    space.made("pods", {"metadata": {"name": name}, "spec": filled})


def resized(space: Space, name: str, changes: dict[str, dict[str, Any]], kind: str = "containers") -> str:
    """Ask for other resources of containers ("" is the pod as a whole): why not, or ""."""
    spec: dict[str, Any] = {kind: [{"name": one, "resources": new} for one, new in changes.items() if one]}
    if "" in changes:
        spec["resources"] = changes[""]
    answer = space.request("PATCH", f"pods/{name}/resize", {"spec": spec}, STRATEGIC)
    return "" if answer.status == 200 else str(answer.object["message"])


def status_of(space: Space, name: str, container: str = "c") -> dict[str, Any]:
    status = space.pod(name)["status"]
    both = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    return next((one for one in both if one["name"] == container), {})


def condition(space: Space, name: str, kind: str) -> dict[str, Any]:
    found = space.pod(name)["status"].get("conditions") or ()
    return next((one for one in found if one["type"] == kind), {})


def until_given(space: Space, name: str, wanted: dict[str, Any], container: str = "c", restarts: int = 0) -> None:
    def given() -> bool:
        one = status_of(space, name, container)
        whole = one.get("resources") == wanted and one.get("allocatedResources") == wanted["requests"]
        return bool(whole and one["restartCount"] == restarts and "running" in one["state"])

    space.until(given, f"{name} has what it is to have")
    space.until(lambda: not condition(space, name, "PodResizeInProgress"), "the resize is over")
    generation = space.pod(name)["metadata"]["generation"]
    space.until(lambda: space.pod(name)["status"]["observedGeneration"] == generation, "its node has seen it")


def in_kernel(space: Space, name: str, container: str = "c") -> tuple[int, int]:
    """The limits of memory (bytes) and of processor time (microseconds of 100,000) as the container sees them."""
    if cgroup.detect().is_v2:
        words = space.shell(name, "cd /sys/fs/cgroup; cat memory.max cpu.max", container).split()
        return int(words[0]), int(words[1])
    files = "memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us"
    words = space.shell(name, f"cd /sys/fs/cgroup; cat {files}", container).split()
    return int(words[0]), int(words[1])


def test_up_and_down_in_place(space: Space) -> None:
    """Both classes of pods that have limits, and a sidecar."""
    old = {"cpu": "100m", "memory": "64Mi"}
    made(space, "sure", container("c", resources=resources(old, old)))
    made(space, "more", container("c", resources=resources({"cpu": "50m", "memory": "32Mi"}, old)))
    side = container("s", restartPolicy="Always", resources=resources(old, old))
    made(space, "side", container("c"), initContainers=[side])
    space.until_ready("sure", "more", "side")
    for amounts, quota, size in (
        ({"cpu": "200m", "memory": "96Mi"}, 20_000, 96 << 20),
        ({"cpu": "80m", "memory": "48Mi"}, 8_000, 48 << 20),
    ):
        requests = {"cpu": "60m", "memory": "40Mi"}
        assert resized(space, "sure", {"c": resources(amounts, amounts)}) == ""
        assert resized(space, "more", {"c": resources(requests, amounts)}) == ""
        assert resized(space, "side", {"s": resources(amounts, amounts)}, "initContainers") == ""
        until_given(space, "sure", resources(amounts, amounts))
        until_given(space, "more", resources(requests, amounts))
        until_given(space, "side", resources(amounts, amounts), "s")
        for name, one in (("sure", "c"), ("more", "c"), ("side", "s")):
            assert in_kernel(space, name, one) == (size, quota)
    told = space.events("--field-selector=involvedObject.name=sure")
    assert {"ResizeStarted", "ResizeCompleted"} <= {one["reason"] for one in told}


def around(space: Space, name: str) -> int:
    """The limit of memory of the pod around its containers, in bytes."""
    root, file = ("", "memory.max") if cgroup.detect().is_v2 else ("memory", "memory.limit_in_bytes")
    (group,) = (Path("/sys/fs/cgroup") / root).glob(f"**/pod{space.pod(name)['metadata']['uid']}")
    return int((group / file).read_text())


def test_a_policy_restarts_the_container(space: Space) -> None:
    policy, other = ([{"resourceName": one, "restartPolicy": "RestartContainer"}] for one in ("memory", "cpu"))
    old, new = {"cpu": "100m", "memory": "64Mi"}, {"cpu": "200m", "memory": "64Mi"}
    made(space, "anew", container("c", resources=resources(old, old), resizePolicy=policy))
    made(space, "fast", container("c", resources=resources(old, old), resizePolicy=other))
    space.until_ready("anew", "fast")
    assert resized(space, "fast", {"c": resources(new, new)}) == ""
    assert resized(space, "anew", {"c": resources(new, new)}) == ""
    until_given(space, "anew", resources(new, new))
    new = {"cpu": "200m", "memory": "96Mi"}
    assert resized(space, "anew", {"c": resources(new, new)}) == ""
    until_given(space, "anew", resources(new, new), restarts=1)
    assert in_kernel(space, "anew") == (96 << 20, 20_000)
    assert around(space, "anew") == 96 << 20
    until_given(
        space, "fast", resources({"cpu": "200m", "memory": "64Mi"}, {"cpu": "200m", "memory": "64Mi"}), restarts=1
    )
    assert in_kernel(space, "fast") == (64 << 20, 20_000)


def test_the_pod_as_a_whole(space: Space) -> None:
    """What a container has no limit of, it has from its pod."""
    old, new = {"cpu": "200m", "memory": "96Mi"}, {"cpu": "300m", "memory": "64Mi"}
    own = resources({"cpu": "50m"}, {"cpu": "60m"})
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    parts = container("none"), container("own", resources=own), container("anew", resizePolicy=policy)
    made(space, "whole", *parts, resources=resources(old, old))
    space.until_ready("whole")
    status = space.pod("whole")["status"]
    assert (status["resources"], status["allocatedResources"]) == (resources(old, old), old)
    assert resized(space, "whole", {"": resources(new, new)}) == ""
    space.until(lambda: space.pod("whole")["status"]["resources"] == resources(new, new), "its pod has other limits")
    space.until(lambda: status_of(space, "whole", "anew")["restartCount"] == 1, "one begins anew")
    space.until_ready("whole")
    assert [status_of(space, "whole", name)["restartCount"] for name in ("none", "own")] == [0, 0]
    assert in_kernel(space, "whole", "none") == in_kernel(space, "whole", "anew") == (64 << 20, 30_000)
    assert in_kernel(space, "whole", "own") == (64 << 20, 6_000)
    assert resized(space, "whole", {"": {"limits": {"cpu": None}}}) != ""


def test_memory_that_is_in_use_is_not_taken_away(space: Space) -> None:
    """The resize is told to fail, and comes about when there is less in use."""
    fills = f"dd if=/dev/zero of=/dev/shm/x bs=1M count=40 2>/dev/null; {LIVES}"
    old, new = {"memory": "80Mi"}, {"memory": "20Mi"}
    made(space, "full", container("c", fills, resources=resources(old, old)))
    space.until_ready("full")
    space.until(lambda: "41943040" in space.shell("full", "stat -c %s /dev/shm/x"), "it uses memory")
    assert resized(space, "full", {"c": resources(new, new)}) == ""
    space.until(lambda: condition(space, "full", "PodResizeInProgress").get("reason") == "Error", "it fails")
    said = condition(space, "full", "PodResizeInProgress")["message"]
    assert 'attempting to set container "c" memory limit (20971520) below current usage' in said
    assert status_of(space, "full")["resources"] == resources(old, old)
    space.until(lambda: space.events("--field-selector=reason=ResizeError"), "an event tells of it")
    space.shell("full", "rm /dev/shm/x")
    until_given(space, "full", resources(new, new))


def test_what_there_is_no_room_for(space: Space) -> None:
    """Nobody else has less for it: neither on the node nor where it is scheduled."""
    old = {"cpu": "100m", "memory": "32Mi"}
    made(space, "greedy", container("c", resources=resources(old)), nodeName="node2")
    space.until_ready("greedy")
    assert resized(space, "greedy", {"c": resources({"cpu": "5000", "memory": "32Mi"})}) == ""
    space.until(lambda: condition(space, "greedy", "PodResizePending").get("reason") == "Infeasible", "it cannot be")
    assert "capacity: cpu, requested: 5000000" in condition(space, "greedy", "PodResizePending")["message"]
    assert status_of(space, "greedy")["allocatedResources"] == old
    made(space, "bound", container("c", resources=resources(old)), nodeName="node2")
    made(space, "chosen", container("c", resources=resources(old)), nodeSelector={"kubernetes.io/hostname": "node2"})
    space.until_ready("bound", "chosen")
    assert resized(space, "greedy", {"c": resources({"cpu": "150m", "memory": "32Mi"})}) == ""
    until_given(space, "greedy", resources({"cpu": "150m", "memory": "32Mi"}))
    assert not condition(space, "greedy", "PodResizePending")


def free_milli(space: Space, node: str) -> int:
    """Thousandths of a processor that no pod of the node has asked for."""
    pods = space.cluster.get("pods", "-A", f"--field-selector=spec.nodeName={node}")
    asked = (pod_amounts(one["spec"], "requests").get("cpu", ZERO).milli for one in pods)
    return parse(space.cluster.get("node", node)[0]["status"]["allocatable"]["cpu"]).milli - sum(asked)


def test_a_resize_waits_for_room(space: Space) -> None:
    """It comes about when another pod has gone."""
    small = {"cpu": "50m"}
    made(space, "grows", container("c", resources=resources(small)), nodeName="node2")
    space.until_ready("grows")
    free = free_milli(space, "node2")
    assert free > 400, "others of the suite have left too little"
    made(space, "holds", container("c", resources=resources({"cpu": f"{free - 100}m"})), nodeName="node2")
    space.until_ready("holds")
    wanted = {"cpu": f"{free - 200}m"}
    assert resized(space, "grows", {"c": resources(wanted)}) == ""
    space.until(lambda: condition(space, "grows", "PodResizePending").get("reason") == "Deferred", "it has to wait")
    assert status_of(space, "grows")["allocatedResources"] == small
    space.kubectl("delete", "pod", "holds", "--wait=false")
    until_given(space, "grows", resources(wanted))


def test_what_is_refused(space: Space) -> None:
    old = {"cpu": "100m", "memory": "64Mi"}
    init = container("i", "true", resources=resources(old))
    made(space, "sure", container("c", resources=resources(old, old)))
    made(space, "more", container("c", resources=resources(old, {"cpu": "200m"})), initContainers=[init])
    space.until_ready("sure", "more")
    assert "QOS Class may not change" in resized(space, "sure", {"c": resources({"cpu": "50m"})})
    assert "limits cannot be removed" in resized(space, "more", {"c": {"limits": {"cpu": None}}})
    assert "only cpu and memory" in resized(space, "more", {"c": resources({"ephemeral-storage": "1Gi"})})
    said = resized(space, "more", {"i": resources({"cpu": "50m"})}, "initContainers")
    assert "non-sidecar init containers are immutable" in said
    plain = {"spec": {"containers": [{"name": "c", "resources": resources({"cpu": "50m"})}]}}
    assert space.request("PATCH", "pods/more", plain, STRATEGIC).status == 422
    hard = {"requests.cpu": "250m"}
    space.made("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    space.until(lambda: space.read("resourcequotas/q").get("status", {}).get("used"), "the quota is counted")
    assert "exceeded quota" in resized(space, "more", {"c": resources({"cpu": "190m"})})
    assert resized(space, "more", {"c": resources({"cpu": "150m"})}) == ""
