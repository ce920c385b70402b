"""Figures in Prometheus' text, under the names that dashboards ask for: pure."""

from typing import Any

from boxship.cluster.node.runtime import EXITED, RUNNING, ContainerStatus, MachineUsage, PodUsage, Usage
from boxship.cluster.node.server.prometheus import asked_of, cadvisor_lines, own_lines
from boxship.cluster.node.server.summary import node_stats, pod_stats

STATUS = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
LIMITED = {"requests": {"cpu": "100m"}, "limits": {"cpu": "250m", "memory": "64Mi"}}
POD: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
    "spec": {
        "containers": [{"name": "main", "image": "web:1", "resources": LIMITED}],
        "initContainers": [{"name": "side", "image": "side:1", "restartPolicy": "Always"}],
    },
    "status": {
        "containerStatuses": [{"name": "main", **STATUS}],
        "initContainerStatuses": [{"name": "side", **STATUS}],
    },
}
MACHINE = MachineUsage(Usage(10**9), 8 << 30, 4 << 30, 100, 50, 10, 5, 32768, 4)


def lines(texts: Any) -> dict[str, str]:
    """By the part before the value."""
    rows = [line for line in "".join(texts).splitlines() if "{" in line and not line.startswith("#")]
    return {name: value for name, _, value in (row.partition("} ") for row in rows)}


def test_what_containers_use_and_may() -> None:
    uses = {"main": Usage(10**9, periods=10, throttled=3, throttled_time=500_000_000), "side": Usage(10**9)}
    found = lines(cadvisor_lines(MACHINE, [POD], {"u": PodUsage("u", Usage(10**9), uses)}))
    main = 'container="main",id="/podu/main",image="web:1",name="main",namespace="shop",pod="web"'
    side = 'container="side",id="/podu/side",image="side:1",name="side",namespace="shop",pod="web"'
    assert found[f"container_cpu_cfs_throttled_periods_total{{{main}"] == "3 1000"
    assert found[f"container_cpu_cfs_throttled_seconds_total{{{main}"] == "0.500000000 1000"
    assert f"container_cpu_cfs_periods_total{{{side}" not in found  # it has no limit
    assert found[f"container_spec_memory_limit_bytes{{{main}"] == str(64 << 20)
    assert found[f"container_start_time_seconds{{{side}"] == "1767225600"


def test_what_was_asked_for() -> None:
    assert asked_of(POD, POD["spec"]["containers"][0], "main") == {
        "container_spec_cpu_period": 100_000,
        "container_spec_cpu_quota": 25_000,
        "container_spec_cpu_shares": 102,
        "container_spec_memory_limit_bytes": 64 << 20,
        "container_start_time_seconds": 1767225600,
    }
    assert asked_of(POD, {"resources": {"limits": {"cpu": "1"}}}, "none")["container_spec_cpu_shares"] == 1024
    whole = {"spec": {"containers": [{"name": "main"}], "resources": {"limits": {"cpu": "5m", "memory": "1Gi"}}}}
    inherited = asked_of(whole, {"name": "main"}, "main")
    assert inherited["container_spec_memory_limit_bytes"] == 1 << 30
    assert inherited["container_spec_cpu_quota"] == 1000  # no less than the kernel takes
    assert asked_of(POD, {}, "none") == {
        "container_spec_cpu_period": 100_000,
        "container_spec_cpu_shares": 2,
        "container_spec_memory_limit_bytes": 0,
    }


def test_what_the_agent_counts() -> None:
    containers = [ContainerStatus("a", "u", "main", 0, RUNNING, 1), ContainerStatus("b", "u", "main", 0, EXITED, 1)]
    fixed = {"metadata": {"name": "fixed", "annotations": {"kubernetes.io/config.source": "file"}}}
    text = "".join(own_lines("n", [POD, fixed], containers))
    for line in (
        'kubelet_node_name{node="n"} 1',
        "kubelet_running_pods 1",
        'kubelet_running_containers{container_state="created"} 0',
        'kubelet_running_containers{container_state="running"} 1',
        'kubelet_active_pods{static="true"} 1',
    ):
        assert f"{line}\n" in text


def test_a_summary() -> None:
    uses = {"main": Usage(3 * 10**9, cpu=10**9, working_set=1 << 20), "side": Usage(3 * 10**9)}
    usage = PodUsage("u", Usage(3 * 10**9, cpu=10**9), uses)
    before = PodUsage("u", Usage(10**9), {"main": Usage(10**9)})
    first = pod_stats(POD, usage, (), MACHINE, None)
    assert "usageNanoCores" not in first["cpu"] and first["podRef"]["name"] == "web"
    found = pod_stats(POD, usage, (), MACHINE, before)
    main, side = found["containers"]
    assert found["cpu"]["usageNanoCores"] == main["cpu"]["usageNanoCores"] == 500_000_000
    assert main["memory"]["availableBytes"] == 63 << 20
    assert "availableBytes" not in side["memory"] and "availableBytes" not in found["memory"]
    assert main["rootfs"]["capacityBytes"] == found["ephemeral-storage"]["capacityBytes"] == MACHINE.disk_capacity
    node = node_stats("n", MACHINE, None, 10**9)
    assert node["startTime"] == "1970-01-01T00:00:00Z" and node["network"]["interfaces"][0]["name"] == "eth0"
